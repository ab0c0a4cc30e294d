"""A scene: all that is random about one picture, in units of the picture's side; it knows nothing of pixels."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from reportgen.rendered import animals, backgrounds, faces, scenery, shapes, vehicles
from reportgen.rendered.colours import Paint, Rgb, lighter, rgb, scheme
from reportgen.rendered.draft import Draft, Piece, look

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
else:
    Floats = Any

DRAWERS: dict[str, tuple[Callable[[Draft], None], float]] = {  # class -> drawer, degrees it turns to either side
    "airplane": (vehicles.airplane, 35),
    "bird": (animals.bird, 20),
    "boat": (vehicles.boat, 12),
    "butterfly": (animals.butterfly, 60),
    "car": (vehicles.car, 12),
    "face": (faces.face, 22),
    "fish": (animals.fish, 35),
    "flower": (scenery.flower, 25),
    "house": (scenery.house, 8),
    "tree": (scenery.tree, 10),
}
OTHER = 7  # the number of what is no part of the object: clutter, and what hides the object
HEIGHTS = (0, 110, 150, 190, 230)  # of the piece's levels 1..4, in 255ths of the relief


@dataclass(frozen=True, eq=False)
class Scene:
    """N pieces in the order they are laid on each other, and the light on them."""

    corners: Floats  # P 2: x, y of all outlines, 0..1 from the left and the top
    starts: tuple[int, ...]  # N + 1: where each piece's corners begin
    parts: tuple[str, ...]  # the kinds of parts, at most 7, by the alphabet
    part: tuple[int, ...]  # N: index of parts, or OTHER
    rgb: Rgb  # N 3
    heights: tuple[int, ...]  # N: 0..255
    shade: Floats  # N 4: brightness is a quadratic of the place, by x² + y², x, y and 1
    waves: Floats  # N 6: phases of two crossed patterns, each by x, y and 1
    tint: Floats  # N 3: contrast of the stripes in red, green and blue
    dots: Floats  # N: 1 where the patterns are crossed
    grain: Floats  # N: contrast of noise
    points: dict[str, tuple[str, float, float]]  # name -> part, x, y
    extent: tuple[float, ...]  # x0 y0 x1 y1 of the object
    light: tuple[float, float]  # unit vector towards the light
    warmth: Rgb  # 3: colour of the light
    shadow: float  # 0..1
    gamma: float
    blur: float  # in units of the picture
    noise: float
    background: tuple[Paint, ...]
    seed: int  # of what depends on the pixels: background and noise


@dataclass(frozen=True, eq=False)
class _Layer:
    """Pieces that are moved together: an object, the clutter behind it or what hides it."""

    pieces: Sequence[Piece]
    turn: Floats  # 2 2
    shift: Floats  # 2


def scene(name: str, seed: int, number: int, kind: str) -> Scene:
    """The scene of one picture of a world: an object of the class `kind`."""
    digest = hashlib.sha256(f"{name}/{seed}/{number}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    draft = Draft(rng, scheme(rng))
    draw, swing = DRAWERS[kind]
    draw(draft)
    behind = tuple(backgrounds.palette(rng, draft.scheme.main[0]))
    body, reach = _place(rng, draft.pieces, math.radians(swing))
    flat = np.eye(2, dtype=np.float32)
    still = np.zeros(2, dtype=np.float32)
    layers = [
        _Layer(_clutter(rng, behind), flat, still),
        body,
        _Layer(_cover(rng, body, reach), flat, still),
    ]
    angle = rng.uniform(-2.6, -0.55)  # from the right or the left, always from above
    parts = tuple(sorted({piece.part for piece in draft.pieces}))
    places = {
        point: (part, *(np.array([x, y]) @ body.turn + body.shift).tolist())
        for point, (part, x, y) in draft.points.items()
    }
    return _settled(
        layers,
        parts,
        points=places,
        extent=tuple(reach.tolist()),
        light=(math.cos(angle), math.sin(angle)),
        warmth=1 + np.float32(rng.normal(0, 0.035)) * np.array([1, 0.1, -1.2], np.float32),
        shadow=rng.uniform(0.25, 0.6),
        gamma=math.exp(rng.normal(0, 0.13)),
        blur=max(rng.uniform(-0.005, 0.005), 0.0),
        noise=rng.uniform(0.004, 0.022),
        background=behind,
        seed=int.from_bytes(digest[16:], "big"),
    )


def _settled(layers: Sequence[_Layer], parts: tuple[str, ...], *, light: tuple[float, float], **rest: Any) -> Scene:
    """All layers as one list of pieces in the picture's own units."""
    pieces = [piece for layer in layers for piece in layer.pieces]
    outlines = [piece.outline for piece in pieces]
    starts = np.concatenate([[0], np.cumsum([len(outline) for outline in outlines])])
    own = np.concatenate(outlines)
    counts = [len(layer.pieces) for layer in layers]
    edges = starts[np.concatenate([[0], np.cumsum(counts)])]
    corners = np.concatenate(
        [own[a:b] @ layer.turn + layer.shift for a, b, layer in zip(edges, edges[1:], layers, strict=False) if b > a]
    ).astype(np.float32)
    looks = [piece.look for piece in pieces]
    back = np.repeat([np.linalg.inv(layer.turn) for layer in layers], counts, axis=0)  # N 2 2
    shift = np.repeat([layer.shift for layer in layers], counts, axis=0)  # N 2
    tint = np.array([one.tint for one in looks]) * np.array([one.stripes for one in looks])[:, None]
    return Scene(
        corners=corners,
        starts=tuple(starts.tolist()),
        parts=parts,
        part=tuple(parts.index(piece.part) if piece.part else OTHER for piece in pieces),
        rgb=rgb(np.array([piece.paint for piece in pieces])),
        heights=tuple(HEIGHTS[piece.height] for piece in pieces),
        shade=_shade(pieces, corners, starts, light),
        waves=_waves(pieces, back, shift),
        tint=tint.astype(np.float32),
        dots=np.array([one.dots for one in looks], dtype=np.float32),
        grain=np.array([one.grain for one in looks], dtype=np.float32),
        light=light,
        **rest,
    )


def _shade(pieces: Sequence[Piece], corners: Floats, starts: NDArray[np.int64], light: tuple[float, float]) -> Floats:
    """Brightness: a slope towards the light over the piece's extent; for balls a cap whose top is nearer the light."""
    low = np.minimum.reduceat(corners, starts[:-1])  # N 2
    high = np.maximum.reduceat(corners, starts[:-1])
    radius = np.maximum((high - low).max(axis=1) / 2, 1e-3)  # N
    centre = (low + high) / 2
    towards = np.array(light, dtype=np.float32)
    strength = np.array([piece.bulge for piece in pieces], dtype=np.float32) * 0.34
    slope = (strength / radius)[:, None] * towards
    ramp = np.column_stack([np.zeros_like(radius), slope, 1 - (slope * centre).sum(axis=1)])  # N 4
    top = centre + 0.4 * radius[:, None] * towards
    bend = -0.62 * strength / radius**2
    offset = 1 + 0.42 * strength + bend * (top**2).sum(axis=1)
    cap = np.column_stack([bend, -2 * bend[:, None] * top, offset])  # N 4
    return np.where([[piece.ball] for piece in pieces], cap, ramp).astype(np.float32)


def _waves(pieces: Sequence[Piece], back: Floats, shift: Floats) -> Floats:
    """The phases of each piece's pattern and of the one across it, by x, y and 1 of the picture."""
    angle = np.array([piece.look.angle for piece in pieces])
    pace = 2 * math.pi / np.array([piece.look.pitch for piece in pieces])
    along = np.stack([np.cos(angle), np.sin(angle)], axis=1) * pace[:, None]  # N 2: in the object's units
    columns = []
    for direction in (along, along[:, ::-1] * (-1, 1)):
        wave = np.einsum("nij,nj->ni", back, direction)
        columns += [wave, -(wave * shift).sum(axis=1, keepdims=True)]
    return np.concatenate(columns, axis=1).astype(np.float32)  # N 6


def _place(rng: np.random.Generator, pieces: Sequence[Piece], swing: float) -> tuple[_Layer, Floats]:
    """The object somewhere in the picture, turned, perhaps mirrored; and its extent, x0 y0 x1 y1."""
    corners = np.concatenate([piece.outline for piece in pieces])
    stretch = rng.uniform(0.92, 1.08)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    angle = rng.uniform(-swing, swing)
    c, s = math.cos(angle), math.sin(angle)
    lean = np.array([[1.0, 0.0], [rng.uniform(-0.08, 0.08), 1.0]])
    turn = np.diag([mirror * stretch, 1 / stretch]) @ lean @ np.array([[c, s], [-s, c]])
    turned = corners @ turn
    low, high = turned.min(axis=0), turned.max(axis=0)
    side = rng.uniform(0.5, 0.98)
    scale = side / float((high - low).max())
    extent = (high - low) * scale
    room = np.maximum(1 - extent, 0.0)
    corner = rng.uniform(0, 1, 2) * (room + 0.1 * extent) - 0.05 * extent  # up to a twentieth is cut off
    shift = corner - low * scale
    reach = np.concatenate([corner, corner + extent])
    return _Layer(pieces, (turn * scale).astype(np.float32), shift.astype(np.float32)), reach


def _thing(rng: np.random.Generator, x: float, y: float, size: float, paint: Paint) -> list[Piece]:
    """A small thing that is no object: a pebble, a stick, a leaf, a ball, a star, a crate."""
    kind, angle = int(rng.integers(7)), rng.uniform(0, 6.2832)
    pattern = look(rng, 0.8)
    if kind == 0:
        return [Piece(shapes.blob(rng, x, y, size, size * rng.uniform(0.6, 1), 0.12), "", paint, 1, pattern, 0.9, True)]
    if kind == 1:
        dx, dy = math.cos(angle) * size * 1.8, math.sin(angle) * size * 1.8
        return [Piece(shapes.bar(x - dx, y - dy, x + dx, y + dy, size * 0.22, size * 0.16), "", paint, 1, bulge=0.9)]
    if kind == 2:
        return [Piece(shapes.leaf(x, y, size * 2.4, size * 0.6, angle), "", paint, 1, pattern, 0.8)]
    if kind == 3:
        rings = [(1.0, paint), (0.6, lighter(paint, 0.2)), (0.3, lighter(paint, -0.2))][: int(rng.integers(1, 4))]
        return [Piece(shapes.disc(x, y, size * share, 20), "", tone, 1, bulge=0.9, ball=True) for share, tone in rings]
    if kind == 4:
        return [
            Piece(shapes.star(x, y, size * 1.2, size * 0.55, int(rng.integers(4, 8)), angle), "", paint, 1, bulge=0.8)
        ]
    if kind == 5:
        square = shapes.turned(shapes.rounded(-size, -size * 0.7, size, size * 0.7, size * 0.2), angle)
        return [Piece(shapes.moved(square, x, y), "", paint, 1, pattern, 0.7)]
    triangle = shapes.turned(shapes.polygon(-size, size * 0.7, 0, -size, size, size * 0.7), angle)
    return [Piece(shapes.moved(triangle, x, y), "", paint, 1, pattern, 0.7)]


def _clutter(rng: np.random.Generator, behind: Sequence[Paint]) -> list[Piece]:
    """Small things on the background."""
    found: list[Piece] = []
    for _ in range(int(rng.integers(0, 9))):
        x, y = rng.uniform(0, 1, 2).tolist()
        base = behind[int(rng.integers(3))]
        paint = (
            min(max(base[0] + rng.normal(0, 0.16), 0.2), 0.95),
            rng.uniform(0.03, 0.15),
            base[2] + rng.normal(0, 1.2),
        )
        found += _thing(rng, x, y, rng.uniform(0.02, 0.075), paint)
    return found


def _cover(rng: np.random.Generator, body: _Layer, reach: Floats) -> list[Piece]:
    """What hides some of the object, in four of ten pictures: a stick across it, leaves from a side or a pebble."""
    if rng.random() > 0.4:
        return []
    x0, y0, x1, y1 = reach.tolist()
    size = max(x1 - x0, y1 - y0)
    hue, light = rng.uniform(0, 6.2832), rng.uniform(0.3, 0.85)
    paint: Paint = (light, rng.uniform(0.03, 0.14), hue)
    x, y = x0 + (x1 - x0) * rng.uniform(0.2, 0.8), y0 + (y1 - y0) * rng.uniform(0.2, 0.8)
    kind = int(rng.integers(3))
    if kind == 0:
        angle = rng.uniform(0, math.pi)
        dx, dy = 1.5 * math.cos(angle), 1.5 * math.sin(angle)
        half = size * rng.uniform(0.03, 0.06)
        return [Piece(shapes.bar(x - dx, y - dy, x + dx, y + dy, half, half * 0.8), "", paint, 4, look(rng), 0.9)]
    if kind == 1:
        angle = rng.uniform(0, 2 * math.pi)
        far = size * rng.uniform(0.45, 0.6)
        found = []
        for n in range(int(rng.integers(2, 4))):
            turn = angle + 0.55 * (n - 1)
            foot = (x - math.cos(angle) * far, y - math.sin(angle) * far)
            outline = shapes.leaf(*foot, far * 1.05, far * 0.17, turn)
            found.append(Piece(outline, "", lighter(paint, 0.05 * n), 4, look(rng, 0.8), 0.8))
        return found
    edge = shapes.blob(rng, x, y, size * rng.uniform(0.1, 0.17), size * rng.uniform(0.1, 0.17), 0.1)
    return [Piece(edge, "", paint, 4, look(rng), 0.9, True)]
