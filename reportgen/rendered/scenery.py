"""What stands on the ground: flowers, houses and trees; y down; about -1..1."""

from __future__ import annotations

import math

from reportgen.rendered import shapes
from reportgen.rendered.colours import GLASS, WHITE, Paint, green, lighter, wood
from reportgen.rendered.draft import ACROSS, GRAINY, Draft, Look, look

YELLOW: Paint = (0.82, 0.15, 1.6)
LIT: Paint = (0.88, 0.12, 1.55)  # a window with a lamp behind it
RED: Paint = (0.62, 0.2, 0.5)
BRASS: Paint = (0.85, 0.12, 1.6)


def flower(d: Draft) -> None:
    """A flower with stem and leaves, its head seen from the front."""
    s, rng = d.scheme, d.rng
    x, y = d.uniform(-0.15, 0.15), d.uniform(-0.46, -0.34)
    foot = d.uniform(-0.2, 0.2)
    knee = foot + d.uniform(-0.3, 0.3)
    paint = green(rng) if d.chance(0.55) else d.pick(s.dark, s.third)
    paint = lighter(paint, 0.12) if paint[0] < 0.4 else paint
    d.add("stem", shapes.bow([(foot, 1.0), (knee, 0.4), (x, y)], 0.055, 0.04), lighter(paint, -0.06), bulge=0.8)
    d.mark("stem", _along(0.55, foot, knee, x), _along(0.55, 1.0, 0.4, y))
    for side, name in ((-1, "left_leaf"), (1, "right_leaf")):
        if d.chance(0.15):
            continue
        t, rise, length = d.uniform(0.2, 0.42), d.uniform(0.2, 0.8), d.uniform(0.5, 0.66)
        px, py = _along(t, foot, knee, x), _along(t, 1.0, 0.4, y)
        angle = -rise if side > 0 else math.pi + rise
        veins = Look(stripes=0.1, pitch=0.1, angle=angle + 0.6)
        d.add("leaf", shapes.leaf(px, py, length, 0.15, angle), paint, 2, veins, 0.7)
        dx, dy = math.cos(angle) * length, math.sin(angle) * length
        d.add("leaf", shapes.bar(px, py, px + 0.8 * dx, py + 0.8 * dy, 0.016, 0.006), lighter(paint, 0.12), 2)
        d.mark(name, px + dx * 0.5, py + dy * 0.5, "leaf")
    _petals(d, x, y)
    core = d.uniform(0.15, 0.22)
    seeds = Look(stripes=0.3, dots=True, pitch=0.09)
    d.add("centre", shapes.lumps(rng, x, y, core, core, 14, 0.12), _heart(d), 4, seeds, 0.6, ball=True)
    d.mark("centre", x, y)


def _along(t: float, a: float, b: float, c: float) -> float:
    """A coordinate of the quadratic curve by a, b, c."""
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t * t * c


def _petals(d: Draft, x: float, y: float) -> None:
    """One or two rings of round or pointed petals."""
    s, rng = d.scheme, d.rng
    count, reach = int(rng.integers(5, 12)), d.uniform(0.52, 0.64)
    start, power, pointed = d.uniform(0, 6.28), d.uniform(0.8, 1.4), d.chance(0.45)
    half = min(0.27, reach * math.tan(math.pi / count) * d.uniform(0.7, 0.95))
    pattern = look(rng, 0.8) if d.chance(0.5) else Look(grain=0.08)
    for ring in range(2 if d.chance(0.4) else 1):
        paint, scale = (s.main, 1.0) if ring == 0 else (d.pick(s.second, lighter(s.main, 0.12)), 0.68)
        for n in range(count):
            angle = start + (n + 0.5 * ring) * 2 * math.pi / count
            cx, cy = x + 0.58 * reach * scale * math.cos(angle), y + 0.58 * reach * scale * math.sin(angle)
            petal = (
                shapes.leaf(x, y, reach * scale, half * scale, angle, power)
                if pointed
                else shapes.ellipse(cx, cy, 0.42 * reach * scale, half * scale, angle, 20)
            )
            d.add("petal", petal, lighter(paint, 0.04 * (n % 2)), 2 + (n + ring) % 2, pattern, 0.6)


def _heart(d: Draft) -> Paint:
    """The colour of a flower's centre, lighter or darker than its petals."""
    for paint in (d.pick(YELLOW, d.scheme.third, d.scheme.dark, wood(d.rng)), d.scheme.dark):
        if abs(paint[0] - d.scheme.main[0]) > 0.12:
            return paint
    return d.scheme.pale


def tree(d: Draft) -> None:
    """A tree with a round crown, or a conifer."""
    s, rng = d.scheme, d.rng
    bark = wood(rng) if d.chance(0.7) else s.dark
    paint = green(rng) if d.chance(0.4) else d.pick(s.main, s.second, s.third)
    lean, w = d.uniform(-0.08, 0.08), d.uniform(0.08, 0.13)
    roots = (w * 1.1, 0.75, w * 2.2, 0.98, -w * 2.2, 0.98, -w * 1.1, 0.75)
    ridges = Look(stripes=0.22, pitch=0.08, grain=0.15)
    d.add("trunk", shapes.curve(lean - w, 0.1, lean + w, 0.1, *roots, rounds=1), bark, 1, ridges, 0.9)
    d.mark("trunk", 0.0, 0.78)
    if d.chance(0.4):
        _conifer(d, paint, lean)
    else:
        d.add("trunk", shapes.bar(lean, 0.4, lean + 0.32, -0.05, 0.05, 0.03), bark)
        _round_crown(d, paint, lean)


def _conifer(d: Draft, paint: Paint, lean: float) -> None:
    layers, wide, drop = int(d.rng.integers(3, 6)), d.uniform(0.55, 0.75), d.uniform(0.03, 0.1)
    needles = Look(grain=0.22, stripes=0.08, pitch=0.09, angle=1.2)
    for n in range(layers):
        t = n / layers
        bottom, half = 0.6 - t * 1.25, wide * (1 - 0.78 * t)
        corners = [lean, bottom - 1.25 / layers - 0.28]
        for k in range(7):  # the ends of the branches
            corners += [(0.5 - k / 6) * 2 * half + lean, bottom + (drop if k % 2 else -drop) + 0.02]
        d.add("crown", shapes.polygon(*corners), lighter(paint, 0.1 * t - 0.05), 2 + n % 2, needles, 0.9)
    d.mark("crown", lean, -0.05)
    d.mark("top_crown", lean, -0.62, "crown")


def _round_crown(d: Draft, paint: Paint, lean: float) -> None:
    wide, tall, y = d.uniform(0.62, 0.8), d.uniform(0.5, 0.66), -0.32
    leaves = Look(grain=0.3)
    outline = shapes.lumps(d.rng, lean, y, wide, tall, int(d.rng.integers(8, 13)), 0.14)
    d.add("crown", outline, lighter(paint, -0.06), 2, leaves, 0.8, ball=True)
    for n in range(5):
        angle, size = n * 1.2566 + d.uniform(-0.3, 0.3), d.uniform(0.2, 0.28)
        at = (lean + math.cos(angle) * wide * 0.48, y + math.sin(angle) * tall * 0.46)
        tuft = shapes.lumps(d.rng, *at, size, size * 0.9, 7, 0.14)
        d.add("crown", tuft, lighter(paint, d.uniform(-0.02, 0.08)), 3, leaves, 0.9, ball=True)
    d.mark("crown", lean, y)
    d.mark("top_crown", lean, y - tall * 0.6, "crown")
    if d.chance(0.45):
        fruit = d.pick(d.scheme.third, RED, YELLOW)
        for n in range(int(d.rng.integers(4, 9))):
            angle, far = n * 2.4, d.uniform(0.3, 0.75)
            x = lean + math.cos(angle) * wide * far
            d.add("fruit", shapes.disc(x, y + math.sin(angle) * tall * far, 0.062, 12), fruit, 4, ball=True)


def house(d: Draft) -> None:
    """A house with door, windows, roof and mostly a chimney."""
    s, rng = d.scheme, d.rng
    half, top, ground = d.uniform(0.55, 0.85), d.uniform(-0.3, -0.05), 0.9
    eave, ridge = half + d.uniform(0.08, 0.2), d.uniform(-0.98, -0.75)
    flat = d.uniform(0, 0.6) * half if d.chance(0.5) else 0.0
    if d.chance(0.85):
        x = d.uniform(-0.6, 0.6) * half
        bricks = Look(stripes=0.16, pitch=0.09, angle=ACROSS, grain=0.12)
        d.add(
            "chimney", shapes.box(x - 0.09, ridge - 0.04, x + 0.09, top), d.pick(s.dark, s.second, wood(rng)), 1, bricks
        )
        d.add("chimney", shapes.box(x - 0.12, ridge - 0.1, x + 0.12, ridge - 0.02), lighter(s.dark, 0.12), 2)
        d.mark("chimney", x, ridge - 0.05)
    planks = d.pick(look(rng, 0.6), Look(stripes=0.12, pitch=0.13, angle=ACROSS, grain=0.06), GRAINY)
    d.add("wall", shapes.box(-half, top - 0.1, half, ground), d.pick(s.main, s.pale, s.third), 1, planks, 0.25)
    d.add("wall", shapes.box(-half - 0.02, ground - 0.09, half + 0.02, ground), lighter(s.dark, 0.1), 2, GRAINY)
    d.mark("wall", 0.0, top + 0.14)
    gable = shapes.polygon(-eave, top + 0.06, -flat, ridge, flat, ridge, eave, top + 0.06)
    d.add("roof", gable, s.second, 3, Look(stripes=0.16, pitch=0.12, angle=ACROSS, grain=0.12))
    d.add("roof", shapes.box(-eave, top + 0.02, eave, top + 0.08), lighter(s.second, -0.12), 4)
    middle = (ridge + top) / 2
    d.mark("roof", 0.0, top - 0.06)
    at = (-0.5, 0.0, 0.5)[int(rng.integers(3))] * half
    _door(d, at, ground)
    for name, x in (("left_window", -0.55 * half), ("right_window", 0.55 * half)):
        if abs(x - at) > 0.3:
            _window(d, x, top + d.uniform(0.32, 0.38), name)
    if d.chance(0.4):
        d.add("window", shapes.disc(0, middle - 0.02, 0.11, 20), WHITE, 4)
        d.add("window", shapes.disc(0, middle - 0.02, 0.08, 16), lighter(GLASS, -0.3), 2, bulge=-0.5)
        d.mark("round_window", 0.0, middle - 0.02, "window")


def _door(d: Draft, x: float, ground: float) -> None:
    half, height = d.uniform(0.11, 0.15), d.uniform(0.42, 0.52)
    paint = d.pick(d.scheme.third, d.scheme.dark, d.scheme.second, wood(d.rng))
    frame = lighter(paint, 0.2 if paint[0] < 0.6 else -0.25)
    d.add("door", shapes.box(x - half - 0.03, ground - height - 0.03, x + half + 0.03, ground), frame, 2)
    d.add("door", shapes.box(x - half, ground - height, x + half, ground), paint, 1, Look(stripes=0.12, pitch=0.1))
    d.add("door", shapes.disc(x + half * 0.6, ground - height * 0.48, 0.025, 10), BRASS, 4, ball=True)
    d.mark("door", x, ground - height / 2)


def _window(d: Draft, x: float, y: float, name: str) -> None:
    half, tall = 0.15, 0.17
    frame = d.pick(WHITE, d.scheme.pale)
    pane = lighter(GLASS, d.uniform(-0.5, 0.0)) if d.chance(0.75) else LIT
    d.add("window", shapes.box(x - half, y - tall, x + half, y + tall), frame, 3)
    d.add("window", shapes.box(x - half + 0.03, y - tall + 0.03, x + half - 0.03, y + tall - 0.03), pane, bulge=-0.5)
    d.add("window", shapes.box(x - 0.012, y - tall, x + 0.012, y + tall), frame, 3)
    d.add("window", shapes.box(x - half, y - 0.012, x + half, y + 0.012), frame, 3)
    d.mark(name, x, y, "window")
