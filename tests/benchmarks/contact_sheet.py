"""Real photos with four maps beside each, to be looked at: python -m tests.benchmarks.contact_sheet NET OUT.png

NET is one of the mini nets or `squeezenet` (its real weights); columns: photo, occlusion (drop of the probability),
Grad-CAM, saliency, guided projection of the class score. Each map explains the predicted class; the label stands below.
"""

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import reportgen
from reportgen import figures
from reportgen.charts import font_file
from reportgen.records import Panel

DATA = Path(__file__).parents[3] / "shared" / "data"
SIDE, COUNT, ACROSS = 160, 24, 3


def photos(name):
    """Pairs of a label and a picture: every n-th photo, so that all classes come."""
    archive, every = (DATA / "imagenet-500.zip", 21) if name == "squeezenet" else (DATA / "photos-val.zip", 183)
    with zipfile.ZipFile(archive) as opened:
        names = sorted(entry for entry in opened.namelist() if entry.lower().endswith((".jpg", ".jpeg")))
        for entry in names[5::every][:COUNT]:
            label = Path(entry).stem.partition("_")[2] if name == "squeezenet" else Path(entry).parent.name
            picture = Image.open(io.BytesIO(opened.read(entry))).convert("RGB")
            yield label, np.asarray(picture, dtype=np.float32) / 255


def load(name):
    if name != "squeezenet":
        return reportgen.load_net(name)
    return reportgen.load_net("squeezenet1_0", weights=str(DATA / "squeezenet1_0-imagenet1k.safetensors"))


def tile(values, below=None, **how):
    panel = Panel("map", "heatmap" if values.ndim == 2 else "image", "", "", "", values=values, **how)
    drawn = figures.draw(panel, photo=below, scale=figures.scales([panel])[0], width=SIDE)
    return Image.fromarray(drawn).resize((SIDE, SIDE))


def row(net, picture):
    """The five tiles of one photo and the predicted class."""
    from reportgen import images

    seen = images.view(picture, net.card.preprocess)
    prediction = reportgen.compute("prediction", net, picture)
    occlusion = reportgen.compute("occlusion", net, picture)
    grad_cam = reportgen.compute("grad_cam", net, picture)
    saliency = reportgen.compute("saliency", net, picture)
    guided = reportgen.compute("deconvnet", net, picture, layer="logits", units=[prediction.numbers["index"]])
    down = guided.arrays["guided"][0]
    down = 0.5 + 0.5 * down / max(np.percentile(abs(down), 99.5), 1e-12)
    tiles = [
        tile(seen),
        tile(occlusion.arrays["map"], seen, photo="under", signed=True),
        tile(grad_cam.arrays["map"], seen, photo="under"),
        tile(saliency.arrays["map"]),
        tile(down.transpose(1, 2, 0).clip(0, 1)),
    ]
    return tiles, f"{prediction.numbers['name']} {prediction.numbers['probability']:.0%}"


def main(name, out):
    from PIL import ImageFont

    net, font = load(name), ImageFont.truetype(str(font_file()), 15)
    lines = -(-COUNT // ACROSS)
    sheet = Image.new("RGB", (ACROSS * (5 * SIDE + 20), lines * (SIDE + 24)), "white")
    pen = ImageDraw.Draw(sheet)
    for n, (label, picture) in enumerate(photos(name)):
        tiles, said = row(net, picture)
        left, top = (n % ACROSS) * (5 * SIDE + 20), (n // ACROSS) * (SIDE + 24)
        for place, one in enumerate(tiles):
            sheet.paste(one, (left + place * SIDE, top))
        pen.text((left, top + SIDE + 2), f"{label} - net: {said}".replace("_", " "), "black", font)
    sheet.save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
