"""Faces from the front; y down; about -1..1. Left and right are those of the picture, before it is turned."""

from __future__ import annotations

import numpy as np

from reportgen.rendered import shapes
from reportgen.rendered.colours import INK, WHITE, Paint, lighter, skin, wood
from reportgen.rendered.draft import Draft, Look

PUPIL: Paint = (0.13, 0.01, 4.0)
THROAT: Paint = (0.27, 0.08, 0.3)
SHORT, LONG, CURLY, SPIKY, BALD = range(5)
SIDES = ((-1, "left"), (1, "right"))


def face(d: Draft) -> None:
    """A face with hair, brows, eyes, nose, mouth and ears; half of them in colours of skin."""
    s, rng = d.scheme, d.rng
    tone = skin(rng) if d.chance(0.5) else d.pick(s.main, s.second, s.third)
    hair = d.pick(s.dark, wood(rng), (0.25, 0.02, 1.0), s.second)
    if abs(hair[0] - tone[0]) < 0.12:  # else the forehead would not show
        hair = lighter(hair, -0.22 if hair[0] > 0.45 else 0.25)
    wide, tall, style = d.uniform(0.6, 0.74), d.uniform(0.76, 0.88), int(rng.integers(5))
    _hair_behind(d, style, wide, tall, hair)
    jaw = d.uniform(0.35, 0.62) * wide
    upper = (-wide, 0.3, -wide, -0.5, -0.4, -tall, 0.4, -tall, wide, -0.5, wide, 0.3)
    head = shapes.curve(*upper, jaw, tall, -jaw, tall, rounds=3) * 1.1
    cheek = float(head[np.abs(head[:, 1]) < 0.25, 0].max())
    for x, side in SIDES:
        d.add("ear", shapes.ellipse(x * (cheek + 0.03), 0.03, 0.15, 0.21, x * 0.2, 16), lighter(tone, -0.03), 2)
        d.add("ear", shapes.ellipse(x * (cheek + 0.06), 0.04, 0.07, 0.12, x * 0.2, 12), lighter(tone, -0.14))
        d.mark(f"{side}_ear", x * (cheek + 0.11), 0.04, "ear")
    d.add("head", head, tone, 2, Look(grain=0.05), 0.7, ball=True)
    d.mark("lower_head", 0.0, tall * 0.86, "head")
    for x, _ in SIDES:
        blush = (tone[0], tone[1] + 0.035, (tone[2] + 0.35) / 2 if tone[2] < 2 else tone[2])
        d.add("head", shapes.disc(x * wide * 0.6, 0.3, 0.13), blush, 2, ball=True)
    if style != BALD:
        _fringe(d, head, hair)
    _eyes(d, wide, hair)
    _nose(d, tone)
    _mouth(d, tone)


def _hair_behind(d: Draft, style: int, wide: float, tall: float, hair: Paint) -> None:
    strands = Look(stripes=0.12, pitch=0.09, grain=0.1)
    if style == LONG:
        side, top, end = wide + 0.24, -tall - 0.3, d.uniform(0.5, 1.0)
        left, right = (-side, end, -side, -0.5, -0.4, top), (0.4, top, side, -0.5, side, end)
        d.add("hair", shapes.curve(*left, *right, 0, end - 0.2), hair, 1, strands)
    elif style == CURLY:
        d.add("hair", shapes.lumps(d.rng, 0, -0.28, wide + 0.3, tall, 12, 0.16), hair, 1, Look(grain=0.3))
    elif style == SPIKY:
        d.add("hair", shapes.star(0, -0.25, tall + 0.14, tall - 0.2, 17), hair, 1, strands)
    elif style == BALD and d.chance(0.6):  # but for a bun
        d.add("hair", shapes.disc(0, -tall - 0.02, 0.24, 20), hair, 1, strands, ball=True)


def _fringe(d: Draft, head: shapes.Outline, hair: Paint) -> None:
    """The hair over the forehead, from a little outside the head."""
    above = head[head[:, 1] < -0.3] * (1.05, 1.06)
    above = above[np.argsort(above[:, 0])]
    wide = float(above[-1, 0])
    parting, low = d.uniform(-0.4, 0.4) * wide, d.uniform(-0.5, -0.42)
    edge = shapes.polygon((wide + parting) / 2, low, parting, low - 0.14, (parting - wide) / 2, low)
    strands = Look(stripes=0.12, pitch=0.08, grain=0.1, angle=d.uniform(-0.5, 0.5))
    d.add("hair", np.concatenate([above, edge]), hair, 3, strands, 0.8)
    d.mark("hair", parting * 0.4, low - 0.24)


def _eyes(d: Draft, wide: float, hair: Paint) -> None:
    apart, size, y = wide * d.uniform(0.42, 0.5), d.uniform(0.12, 0.17), d.uniform(-0.14, -0.04)
    squint, gaze = d.uniform(0.65, 1.0), d.uniform(-0.3, 0.3) * size
    iris = d.pick(d.scheme.second, d.scheme.third, wood(d.rng), (0.5, 0.1, 4.2))
    iris = (min(iris[0], 0.6), iris[1], iris[2])
    raised, tilt = d.uniform(0.2, 0.27), d.uniform(-0.07, 0.09)
    for x, side in SIDES:
        at = x * apart
        d.add("eye", shapes.ellipse(at, y, size * 1.18, size * squint * 1.18), INK, bulge=0)
        d.add("eye", shapes.ellipse(at, y + 0.012, size * 1.1, size * squint), WHITE, 3, bulge=0.3)
        d.add("eye", shapes.disc(at + gaze, y, size * 0.58, 20), iris, 2, bulge=-0.8)
        d.add("eye", shapes.disc(at + gaze, y, size * 0.3, 14), PUPIL, 2, bulge=0)
        d.add("eye", shapes.disc(at + gaze + size * 0.2, y - size * 0.22, size * 0.15, 10), WHITE, 2, bulge=0)
        d.mark(f"{side}_eye", at, y, "eye")
        brow = [(at - x * 0.19, y - raised + tilt), (at, y - raised - 0.08), (at + x * 0.2, y - raised + 0.02)]
        d.add("brow", shapes.bow(brow, 0.035, 0.022), lighter(hair, -0.06), 3)
        d.mark(f"{side}_brow", at, y - raised - 0.035 + tilt / 4, "brow")


def _nose(d: Draft, tone: Paint) -> None:
    low, half = d.uniform(0.2, 0.27), d.uniform(0.09, 0.14)
    right, left = (0.045, -0.06, half, low, half * 0.5, low + 0.07), (-half * 0.5, low + 0.07, -half, low)
    d.add("nose", shapes.curve(-0.045, -0.06, *right, *left), lighter(tone, -0.05), 4, bulge=0.9)
    d.mark("nose", 0.0, low - 0.06)
    for x, _ in SIDES:
        d.add("nose", shapes.disc(x * half * 0.45, low + 0.035, 0.02, 8), lighter(tone, -0.25), 2)


def _mouth(d: Draft, tone: Paint) -> None:
    """A smile, a laugh with teeth, or an astonished mouth."""
    y, w, kind = d.uniform(0.45, 0.52), d.uniform(0.22, 0.34), int(d.rng.integers(3))
    lips: Paint = (min(tone[0], 0.6) - d.uniform(0.02, 0.15), 0.14, d.uniform(0.1, 0.6))
    if kind == 0:
        low = y + d.uniform(0.12, 0.24)
        d.add("mouth", shapes.bow([(-w, y - 0.05), (0, low), (w, y - 0.05)], 0.045, 0.045), lips, 3)
        d.mark("mouth", 0.0, (y - 0.05 + low) / 2)
    elif kind == 1:
        laugh = shapes.curve(-w, y - 0.08, 0, y - 0.02, w, y - 0.08, w * 0.6, y + 0.2, -w * 0.6, y + 0.2)
        d.add("mouth", laugh * (1.12, 1), lips, 3)
        d.add("mouth", laugh, THROAT, bulge=-0.4)
        d.add("mouth", shapes.rounded(-w * 0.6, y - 0.045, w * 0.6, y + 0.035, 0.03), WHITE, 2, bulge=0.1)
        d.mark("mouth", 0.0, y + 0.06)
    else:
        d.add("mouth", shapes.ellipse(0, y + 0.05, 0.15, d.uniform(0.1, 0.17)), lips, 3)
        d.add("mouth", shapes.ellipse(0, y + 0.05, 0.1, 0.075), THROAT, bulge=-0.5)
        d.mark("mouth", 0.0, y + 0.05)
