"""Airplanes, boats and cars from the side, looking to the right; y down; about -1..1."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from reportgen.rendered import shapes
from reportgen.rendered.colours import GLASS, INK, STEEL, WHITE, Paint, lighter, wood
from reportgen.rendered.draft import ACROSS, GRAINY, PLAIN, Draft, Look, look

TYRE: Paint = (0.2, 0.01, 4.0)
LAMP: Paint = (0.93, 0.12, 1.8)
REAR_LAMP: Paint = (0.55, 0.2, 0.5)


def car(d: Draft) -> None:
    """A saloon, an estate, a van or a pickup."""
    s, rng = d.scheme, d.rng
    kind = ("saloon", "estate", "van", "pickup")[int(rng.integers(4))]
    floor, radius = 0.24, d.uniform(0.19, 0.25)
    waist = d.uniform(-0.2, -0.1)
    top = waist - d.uniform(0.3, 0.42) - (0.14 if kind == "van" else 0)
    a, b, c, e = _cabin(kind, d)
    cabin = shapes.polygon(a - 0.03, waist + 0.1, b, top, c, top, e + 0.03, waist + 0.1)
    d.add("body", shapes.smooth(cabin, 2, 0.14), d.pick(s.main, s.main, s.second))
    bonnet = waist + d.uniform(0.02, 0.14)
    rear, front = (-1.02, waist + 0.02, -0.8, waist - 0.03, e, waist - 0.01), (0.94, bonnet, 1.02, floor - 0.06)
    body = shapes.curve(-0.96, floor + 0.05, -1, floor, *rear, *front, 0.98, floor + 0.05)
    d.add("body", body, s.main, 2, look(rng, 0.6) if d.chance(0.4) else PLAIN, 0.6)
    if d.chance(0.5):
        d.add("body", shapes.box(-0.97, 0.03, 0.97, 0.09), s.second, 2, bulge=0.1)
    _side_windows(d, (a, b, c, e), top, waist)
    for x, name in ((-0.95, "back"), (0.95, "front")):
        d.add("bumper", shapes.rounded(x - 0.1, floor - 0.06, x + 0.1, floor + 0.07, 0.05), STEEL, 3)
        d.mark(f"{name}_bumper", x, floor, "bumper")
    lamp = bonnet + 0.1
    d.add("light", shapes.ellipse(0.92, lamp, 0.055, 0.075), LAMP, 3, ball=True)
    d.mark("front_light", 0.92, lamp, "light")
    d.add("light", shapes.rounded(-0.99, lamp - 0.08, -0.91, lamp + 0.07, 0.02), REAR_LAMP, 3)
    d.mark("back_light", -0.95, lamp, "light")
    for x, name in ((d.uniform(-0.6, -0.52), "back"), (d.uniform(0.52, 0.6), "front")):
        d.add("body", shapes.disc(x, floor + 0.04, radius * 1.2, 24), (0.25, 0.02, s.main[2]), bulge=0.1)
        _wheel(d, x, floor + 0.08, radius)
        d.mark(f"{name}_wheel", x, floor + 0.08, "wheel")


def _cabin(kind: str, d: Draft) -> tuple[float, float, float, float]:
    """Where the cabin's outline starts, its roof from and to, and where it ends."""
    if kind == "pickup":
        return -0.14, -0.1, d.uniform(0.24, 0.32), d.uniform(0.52, 0.6)
    if kind == "van":
        return -0.98, -0.96, d.uniform(0.5, 0.62), d.uniform(0.8, 0.88)
    if kind == "estate":
        return -0.98, d.uniform(-0.92, -0.8), d.uniform(0.1, 0.22), d.uniform(0.44, 0.56)
    return d.uniform(-0.82, -0.7), d.uniform(-0.46, -0.34), d.uniform(0.06, 0.18), d.uniform(0.44, 0.54)


def _side_windows(d: Draft, cabin: tuple[float, float, float, float], top: float, waist: float) -> None:
    """One to three windows with a shine on each, and the doors' seam and handles below them."""
    a, b, c, e = cabin
    count = 1 if e - a < 0.8 else int(d.rng.integers(2, 4))
    names = (("front",), ("back", "front"), ("back", "middle", "front"))[count - 1]
    tint = lighter(GLASS, d.uniform(-0.45, 0.05))
    upper, lower = top + 0.08, waist - 0.02
    edges = np.linspace(a + 0.1, e - 0.06, count + 1).tolist()
    for n, (start, end) in enumerate(pairwise(edges)):
        x0, x1 = start + 0.02, end - 0.03
        u0, u1 = max(x0, b + 0.06), min(x1, c - 0.02)  # the roof is shorter than the windows' foot
        d.add("window", shapes.polygon(x0, lower, u0, upper, u1, upper, x1, lower), tint, bulge=-0.3)
        foot, head = x0 + (x1 - x0) * 0.3, u0 + (u1 - u0) * 0.5
        shine = shapes.polygon(foot, lower, head, upper, head + 0.06, upper, foot + 0.06, lower)
        d.add("window", shine, lighter(tint, 0.1))
        d.mark(f"{names[n]}_window", (x0 + x1) / 2, (upper + lower) / 2, "window")
        if n:
            d.add(
                "door", shapes.box(start - 0.017, waist + 0.02, start + 0.007, 0.22), lighter(d.scheme.main, -0.25), 2
            )
            d.add("door", shapes.rounded(x0 + 0.02, waist + 0.05, x0 + 0.15, waist + 0.085, 0.015), STEEL, 4)


def _wheel(d: Draft, x: float, y: float, radius: float) -> None:
    """Tyre, rim, spokes and hub."""
    rim = d.pick(STEEL, WHITE, d.scheme.pale)
    d.add("wheel", shapes.disc(x, y, radius, 28), TYRE, 3, GRAINY, ball=True)
    d.add("wheel", shapes.disc(x, y, radius * 0.62, 20), rim, 2)
    d.add("wheel", shapes.star(x, y, radius * 0.56, radius * 0.2, 5, d.scheme.main[2]), lighter(rim, -0.4))
    d.add("wheel", shapes.disc(x, y, radius * 0.17, 12), rim, 3, ball=True)


def airplane(d: Draft) -> None:
    """An airplane from the side and a little from above."""
    s, rng = d.scheme, d.rng
    thick, tail = d.uniform(0.13, 0.19), d.uniform(0.36, 0.52)
    sweep, span = d.uniform(0.15, 0.4), d.uniform(0.5, 0.68)
    wing, fin = d.pick(s.main, s.second, s.pale), d.pick(s.second, s.third)
    tip = -0.8 * sweep
    far = shapes.polygon(0.26, -0.04, -0.06, -0.04, tip - 0.06, -0.8 * span, tip + 0.07, -0.8 * span)
    d.add("wing", far, lighter(wing, -0.1))
    d.mark("far_wing", 0.05 - sweep * 0.55, -span * 0.55, "wing")
    d.add("tail", shapes.polygon(-0.55, -0.05, -0.78, -tail, -0.97, -tail, -0.93, 0), fin, 1, look(rng, 0.7))
    d.mark("tail", -0.85, -tail * 0.75)
    upper, lower = (-1, -0.08, -0.6, -thick, 0.5, -thick, 0.85, -0.75 * thick), (0.85, 0.8 * thick, 0.3, thick)
    d.add(
        "body",
        shapes.curve(*upper, 1.02, 0.02, *lower, -0.4, thick, -1, 0),
        d.pick(s.main, s.pale, WHITE),
        2,
        bulge=0.9,
    )
    d.mark("front_body", 0.9, 0.03, "body")
    if d.chance(0.6):
        d.add("body", shapes.polygon(-0.9, 0, 0.97, 0.03, 0.93, 0.07, -0.86, 0.045), s.second, 2, bulge=0.2)
    d.add("tail", shapes.polygon(-0.66, -0.03, -0.84, -0.03, -1.06, 0.16, -0.92, 0.16), lighter(fin, 0.05), 3)
    dark = lighter(GLASS, -0.42)
    pane = shapes.polygon(0.68, -0.75 * thick, 0.82, -0.62 * thick, 0.9, -0.02, 0.72, -0.02)
    d.add("cockpit", pane, dark, bulge=-0.5)
    d.mark("cockpit", 0.77, -0.05)
    for at in np.linspace(-0.5, 0.55, int(rng.integers(6, 10))).tolist():
        d.add("window", shapes.disc(at, -thick * 0.4, 0.033, 10), dark, bulge=0)
    x, y = 0.36 - 0.45 * (0.32 + sweep), 0.45 * span + 0.03  # at the front of the near wing
    d.add("engine", shapes.rounded(x - 0.2, y - 0.075, x + 0.12, y + 0.075, 0.07), lighter(s.third, -0.1), 2, bulge=0.8)
    d.add("engine", shapes.ellipse(x + 0.1, y, 0.03, 0.065, corners=16), INK)
    d.mark("engine", x + 0.04, y)
    near = shapes.polygon(0.3, 0.03, -0.12, 0.03, -0.2 - sweep, span, -0.02 - sweep, span)
    d.add("wing", near, wing, 3, look(rng, 0.7))
    d.mark("near_wing", -0.02 - sweep * 0.5, span * 0.5, "wing")


def boat(d: Draft) -> None:
    """A sailing boat, or a steamer with cabin and funnel."""
    s, rng = d.scheme, d.rng
    deck, keel = d.uniform(0.3, 0.42), 0.82
    (_sails if d.chance(0.65) else _steamer)(d, deck)
    coat = look(rng, 0.6) if d.chance(0.5) else Look(stripes=0.12, pitch=0.12, angle=ACROSS)
    hull = shapes.curve(-0.9, deck, 0.98, deck - 0.08, 0.8, 0.68, 0.6, keel, -0.6, keel, -0.8, 0.68, rounds=1)
    d.add("hull", hull, d.pick(s.main, s.dark, wood(rng)), 2, coat, 0.8)
    rail = shapes.polygon(-0.92, deck, 1, deck - 0.08, 0.97, deck + 0.02, -0.9, deck + 0.09)
    d.add("hull", rail, d.pick(s.pale, s.second), 3)
    ring = d.pick(STEEL, s.pale)
    for x in np.linspace(-0.45, 0.45, int(rng.integers(2, 5))).tolist():
        d.add("window", shapes.disc(x, deck + 0.22, 0.065, 14), ring, 3)
        d.add("window", shapes.disc(x, deck + 0.22, 0.04, 12), lighter(GLASS, -0.4), bulge=-0.5)
    d.mark("bow_hull", 0.8, deck + 0.12, "hull")
    d.mark("stern_hull", -0.76, deck + 0.16, "hull")


def _sails(d: Draft, deck: float) -> None:
    """A mast with one or two sails and a pennant."""
    s, rng = d.scheme, d.rng
    x, top = d.uniform(-0.15, 0.12), d.uniform(-1.0, -0.85)
    d.add("mast", shapes.bar(x, top, x, deck + 0.1, 0.02, 0.028), wood(rng), 2, bulge=0.8)
    d.mark("mast", x, deck - 0.07)
    foot, belly = deck - d.uniform(0.12, 0.2), d.uniform(0.1, 0.25)
    cloth = d.pick(WHITE, s.pale, s.second, s.third)
    leech = _bent((x - 0.72, foot + 0.02), (x - 0.04, top + 0.08), -belly)
    d.add("sail", np.concatenate([shapes.polygon(x - 0.04, foot), leech]), cloth, 2, look(rng, 0.9), 0.8)
    d.mark("main_sail", x - 0.24, foot - 0.26, "sail")
    if d.chance(0.75):
        leech = _bent((x + 0.05, top + 0.22), (x + 0.86, foot + 0.04), -belly * 0.6)
        d.add("sail", np.concatenate([shapes.polygon(x + 0.08, foot), leech]), d.pick(cloth, s.third), 2, bulge=0.8)
        d.mark("jib_sail", x + 0.28, foot - 0.2, "sail")
    wave = d.uniform(0.02, 0.06)
    d.add("flag", shapes.polygon(x, top - 0.02, x - 0.2, top + wave, x - 0.26, top + 0.07, x, top + 0.12), s.third, 3)
    d.mark("flag", x - 0.1, top + 0.05)


def _bent(start: tuple[float, float], end: tuple[float, float], depth: float) -> shapes.Outline:
    """A line from start to end that bends to its left by some share of its length."""
    t = np.linspace(0, 1, 8)[:, None]
    a, way = np.array(start), np.array(end) - start
    bent: shapes.Outline = a + way * t + way[::-1] * (-1, 1) * (2 * t * (1 - t)) * depth
    return bent


def _steamer(d: Draft, deck: float) -> None:
    """A cabin with windows, a funnel and a flag on a mast."""
    s, rng = d.scheme, d.rng
    left, top = d.uniform(-0.65, -0.5), deck - d.uniform(0.34, 0.46)
    x, height = d.uniform(-0.35, -0.05), d.uniform(0.42, 0.6)
    tip = top - height
    funnel = shapes.polygon(x - 0.11, top + 0.05, x - 0.14, tip, x + 0.1, tip, x + 0.13, top + 0.05)
    d.add("funnel", funnel, d.pick(s.second, s.third), 2, bulge=0.9)
    band = shapes.box(x - 0.135, tip + height * 0.2, x + 0.105, tip + height * 0.45)
    d.add("funnel", band, lighter(s.dark, 0.05), 2, bulge=0.9)
    d.mark("funnel", x - 0.01, top - height * 0.4)
    mast = d.uniform(0.3, 0.42)
    d.add("mast", shapes.bar(mast, top - 0.5, mast, top + 0.1, 0.018, 0.025), wood(rng))
    d.mark("mast", mast, top - 0.15)
    flag = shapes.polygon(mast, top - 0.5, mast - 0.3, top - 0.46, mast - 0.28, top - 0.3, mast, top - 0.33)
    d.add("flag", flag, s.third, 2, look(rng))
    d.mark("flag", mast - 0.15, top - 0.4)
    d.add("cabin", shapes.box(left, top, 0.5, deck + 0.08), d.pick(WHITE, s.pale, s.main), 2, bulge=0.3)
    d.add("cabin", shapes.box(left - 0.05, top - 0.05, 0.55, top + 0.03), lighter(s.second, -0.1), 3)
    d.mark("cabin", 0.46, deck - 0.12)
    for at in np.linspace(left + 0.14, 0.34, 4).tolist():
        d.add("window", shapes.box(at - 0.07, top + 0.09, at + 0.07, top + 0.23), lighter(GLASS, -0.25), bulge=-0.5)
