"""Pictures of the rendered world to be looked at: python -m tests.benchmarks.rendered_sheet OUT.png [SEED [SIZE]]

OUT.png has 100 pictures, a column per class; OUT-truth.png the same with masks, parts, points and boxes drawn over. The
time per picture is printed, of one thread and by the process's own clock.
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from reportgen.rendered import world

ACROSS, DOWN, GAP = 10, 10, 4
TINTS = [(230, 60, 60), (60, 140, 240), (250, 200, 40), (60, 200, 110), (190, 90, 230), (240, 140, 50), (80, 220, 230)]


def plain(example):
    return Image.fromarray(np.round(example.picture * 255).astype(np.uint8))


def truth(example):
    """The picture in grey, each part in a colour, points as dots, the box as a frame."""
    grey = example.picture.mean(axis=2, keepdims=True) * 0.5 + 0.25 * ~example.mask[:, :, None]
    shown = np.repeat(grey, 3, axis=2)
    for part, tint in zip(example.parts.values(), TINTS, strict=False):
        shown[part] = 0.45 * shown[part] + 0.55 * np.array(tint) / 255
    image = Image.fromarray((shown.clip(0, 1) * 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    y0, x0, y1, x1 = example.box
    pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline=(255, 255, 255))
    for x, y in example.points.values():
        pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(255, 255, 255), outline=(0, 0, 0))
    return image


def sheet(examples, size, draw):
    made = Image.new("RGB", (ACROSS * (size + GAP) + GAP, DOWN * (size + GAP) + GAP), "white")
    for n, example in enumerate(examples):
        made.paste(draw(example), (GAP + n % ACROSS * (size + GAP), GAP + n // ACROSS * (size + GAP)))
    return made


def main(out, seed=0, size=128):
    out, size = Path(out), int(size)
    data = world("objects", ACROSS * DOWN, size, int(seed))
    data.load(0)  # makes the tiles
    start = time.process_time()
    examples = [data.load(n) for n in range(len(data))]
    seconds = (time.process_time() - start) / len(data)
    print(f"{size} x {size}: {1000 * seconds:.2f} ms per picture, {1 / seconds:.0f} pictures per second and core")
    sheet(examples, size, plain).save(out)
    sheet(examples, size, truth).save(out.with_name(f"{out.stem}-truth.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
