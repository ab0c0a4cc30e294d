"""Birds and fish from the side, looking to the right, and butterflies from above, head up; y down; about -1..1."""

from __future__ import annotations

import numpy as np

from reportgen.rendered import shapes
from reportgen.rendered.colours import INK, WHITE, Paint, lighter, wood
from reportgen.rendered.draft import ACROSS, PLAIN, Draft, Look, look

PUPIL: Paint = (0.14, 0.02, 4.0)
BEAKS: tuple[Paint, Paint] = ((0.72, 0.16, 1.1), (0.45, 0.04, 1.5))


def bird(d: Draft) -> None:
    """A small bird on its legs."""
    s, rng = d.scheme, d.rng
    _legs(d)
    length, droop = d.uniform(0.36, 0.5), d.uniform(-0.25, 0.3)
    x, y = -0.56 - length, 0.05 + droop
    tail = shapes.polygon(-0.4, -0.08, x, y - 0.09, x + 0.09, y + 0.02, x + 0.02, y + 0.13, -0.36, 0.22)
    d.add("tail", tail, d.pick(s.second, s.dark), 1, Look(stripes=0.2, pitch=0.1, angle=ACROSS))
    d.mark("tail", (x - 0.42) / 2, (y + 0.08) / 2)
    hx, hy, head = d.uniform(0.4, 0.5), d.uniform(-0.56, -0.44), d.uniform(0.25, 0.31)
    long, bend = d.uniform(0.22, 0.42), d.uniform(-0.02, 0.1)
    beak = shapes.polygon(hx + head * 0.7, hy - 0.13, hx + head + long, hy + bend, hx + head * 0.75, hy + 0.13)
    d.add("beak", beak, d.pick(*BEAKS, s.third), bulge=0.8)
    d.mark("beak", hx + head + long * 0.35, hy + bend * 0.4)
    body = shapes.curve(hx - 0.1, hy - 0.08, hx + 0.22, -0.1, 0.36, 0.3, 0, 0.55, -0.4, 0.3, -0.62, -0.02, -0.3, -0.22)
    d.add("body", body * 1.06, s.main, 2, look(rng, 0.8), 0.9)
    breast = shapes.curve(hx + 0.12, -0.12, 0.32, 0.26, 0, 0.46, -0.2, 0.36, 0.16, 0.1)
    d.add("body", breast, d.pick(s.pale, s.third), 2, Look(grain=0.1))
    d.mark("front_body", 0.2, 0.2, "body")
    if d.chance(0.35):  # a crest
        for n in range(3):
            d.add("head", shapes.leaf(hx - 0.02, hy - head * 0.8, 0.3, 0.05, -1.3 - 0.35 * n), s.second)
    d.add("head", shapes.disc(hx, hy, head, 28), d.pick(s.main, s.second), 2, bulge=0.7, ball=True)
    d.mark("head", hx - head * 0.45, hy)
    _eye(d, hx + head * 0.3, hy - 0.06, 0.078)
    swing = d.uniform(-0.25, 0.3)
    for n in range(3):
        feather = shapes.leaf(0.22, -0.06 + 0.02 * n, -0.72 + 0.1 * n, 0.17, 0.18 * n - swing, 1.2)
        lines = Look(stripes=0.14, pitch=0.12, angle=ACROSS)
        d.add("wing", feather, lighter(s.second, 0.05 * n), 3 if n < 2 else 4, lines)
    d.mark("wing", -0.08, 0.02 + 0.25 * swing)


def _legs(d: Draft) -> None:
    paint = d.pick((0.6, 0.13, 1.1), d.scheme.dark, (0.4, 0.03, 1.0))
    for x in (-0.1, 0.12):
        foot = x + 0.04
        d.add("leg", shapes.bar(x, 0.35, foot, 0.86, 0.03, 0.022), paint)
        d.add("leg", shapes.polygon(foot - 0.06, 0.88, foot, 0.8, foot + 0.17, 0.88), paint, 2)
    d.mark("front_leg", 0.15, 0.74, "leg")


def _eye(d: Draft, x: float, y: float, radius: float) -> None:
    """An eye that looks to the right."""
    d.add("eye", shapes.disc(x, y, radius, 18), d.pick(WHITE, d.scheme.pale), 3)
    d.add("eye", shapes.disc(x + radius * 0.15, y, radius * 0.62, 14), PUPIL, 2, bulge=0)
    d.add("eye", shapes.disc(x + radius * 0.4, y - radius * 0.28, radius * 0.22, 10), WHITE, 2, bulge=0)
    d.mark("eye", x, y)


def fish(d: Draft) -> None:
    """A fish with its fins spread."""
    s, rng = d.scheme, d.rng
    tall, stem = d.uniform(0.34, 0.56), d.uniform(0.07, 0.12)
    fins, rays = d.pick(s.second, s.third), Look(stripes=0.2, pitch=0.09, angle=1.2)
    spread, notch = d.uniform(0.36, 0.56), d.uniform(0.1, 0.26)
    lobe = (-1, -spread, -1, -spread, notch - 1, 0, -1, spread, -1, spread)  # its tips twice: sharper
    tail = shapes.curve(-0.56, -stem, *lobe, -0.56, stem)
    d.add("tail", tail, fins, 1, Look(stripes=0.2, pitch=0.09, angle=ACROSS))
    d.mark("tail", -0.76, 0.0)
    high, low = d.uniform(0.2, 0.34), d.uniform(0.16, 0.3)
    back = shapes.curve(0.32, -tall * 0.7, 0.05, -tall - high, -0.3, -tall - high * 0.8, -0.42, -tall * 0.45)
    d.add("fin", back, fins, 1, rays)
    d.mark("back_fin", -0.1, -tall * 0.82 - high * 0.35, "fin")
    belly = shapes.curve(0, tall * 0.6, -0.2, tall + low, -0.42, tall + low * 0.7, -0.34, tall * 0.4)
    d.add("fin", belly, fins, 1, rays)
    d.mark("belly_fin", -0.24, tall * 0.72 + low * 0.4, "fin")
    upper = (0.62, -tall * 0.86, 0.1, -tall * 1.2, -0.4, -tall * 0.6, -0.72, -stem)
    lower = (-0.72, stem, -0.4, tall * 0.6, 0.1, tall * 1.2, 0.62, tall * 0.86)
    scales = Look(stripes=0.16, dots=True, pitch=0.11, angle=0.785)
    d.add("body", shapes.curve(1.02, 0.02, *upper, *lower, rounds=3), s.main, 2, d.pick(scales, look(rng)), 0.9)
    d.mark("body", -0.3, 0.0)
    if d.chance(0.5):
        for x in np.linspace(-0.38, 0.12, int(rng.integers(2, 4))).tolist():
            reach = tall * min(0.62 + 0.5 * (x + 0.45), 0.9)
            d.add("body", shapes.ellipse(x, 0, 0.06, reach, corners=20), d.pick(s.pale, s.dark), 2, bulge=0.4)
    gill = shapes.bow([(0.42, -tall * 0.55), (0.26, 0), (0.42, tall * 0.55)], 0.03, 0.03)
    d.add("gill", gill, lighter(s.main, -0.16), 2)
    d.mark("gill", 0.34, 0.0)
    d.add("fin", shapes.leaf(0.26, 0.1, -0.4, 0.14, d.uniform(-0.8, -0.2), 1.4), fins, 4, rays)
    mouth = shapes.bow([(0.98, 0.06), (0.86, 0.13), (0.76, 0.1)], 0.028, 0.02)
    d.add("mouth", mouth, lighter(d.pick(s.dark, s.main), -0.12), 3)
    d.mark("mouth", 0.87, 0.105)
    _eye(d, d.uniform(0.56, 0.64), -0.12, d.uniform(0.09, 0.12))


def butterfly(d: Draft) -> None:
    """A butterfly with its wings spread, more or less."""
    s, rng = d.scheme, d.rng
    flap, tip = d.uniform(0.72, 1.0), d.uniform(0.55, 0.8)
    u, v = d.uniform(0.75, 0.95), d.uniform(0.6, 0.85)
    top = shapes.polygon(0.03, -0.12, 0.35, -tip, 0.95, -u, 1.08, -u * 0.6, 0.8, -0.02, 0.03, 0.12)
    bottom = shapes.polygon(0.03, -0.02, 0.62, 0, 0.85, 0.3, 0.62, v, 0.36, v * 0.95, 0.03, 0.22)
    veins, spot, framed = look(rng, 1.1), d.uniform(0.09, 0.15), d.chance(0.7)
    edge, ring = d.pick(s.dark, INK, s.pale), d.pick(s.third, s.pale, s.dark)
    core = edge if ring != edge else s.second
    lower = d.pick(s.main, s.second)
    for x, side in ((-1, "left"), (1, "right")):
        flip = np.array([x * flap, 1.0])
        for name, outline, paint in (("lower", bottom, lower), ("upper", top, s.main)):
            centre = outline.mean(axis=0) * flip
            wing = shapes.smooth(outline, 3) * flip
            if framed:
                d.add("wing", wing, edge)
                wing = (wing - centre) * 0.82 + centre * (0.93, 0.97)
            d.add("wing", wing, paint, 2 if framed else 1, veins)
            cx, cy = (centre * (1.25, 1.2)).tolist()
            d.add("spot", shapes.ellipse(cx, cy, spot * flap, spot, corners=18), ring, 2, bulge=0.3)
            d.add("spot", shapes.ellipse(cx, cy, spot * 0.5 * flap, spot * 0.5, corners=12), core, 2)
            d.mark(f"{name}_{side}_wing", float(centre[0]) * 0.72, float(centre[1]) * 0.8, "wing")
            d.mark(f"{name}_{side}_spot", cx, cy, "spot")
    _trunk(d, d.pick(s.dark, INK, wood(rng)))


def _trunk(d: Draft, paint: Paint) -> None:
    """A butterfly's antennae, body and head."""
    for x, side in ((-1, "left"), (1, "right")):
        end = (x * d.uniform(0.2, 0.36), -d.uniform(0.72, 0.85))
        d.add("antenna", shapes.bow([(x * 0.03, -0.36), (x * 0.1, -0.62), end], 0.017, 0.013), paint)
        d.add("antenna", shapes.disc(*end, 0.038, 10), paint, 2, ball=True)
        d.mark(f"{side}_antenna", *end, "antenna")
    body = shapes.curve(-0.1, -0.3, 0.1, -0.3, 0.09, 0.1, 0.04, 0.55, -0.04, 0.55, -0.09, 0.1)
    d.add("body", body, paint, 3, d.pick(PLAIN, Look(stripes=0.3, pitch=0.1, angle=ACROSS)), 0.8)
    d.mark("body", 0.0, 0.05)
    d.add("head", shapes.disc(0, -0.34, 0.1, 18), lighter(paint, 0.06), 4, ball=True)
    d.mark("head", 0.0, -0.34)
