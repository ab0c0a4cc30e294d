"""The encoder-decoder beside the plain head of the same backbone: python -m tests.benchmarks.encdec_table START RUNS

Both heads of resnet_mini are trained on the photos of ../shared/data by the recipe of specs/zoo/encdec.yaml, but begun
from START, the weights of a trained resnet_mini, and for EPOCHS in place of 80: the plain net takes over its own head
too. Three repeats at two sizes, and one at the smaller with salt and pepper in training. Runs lie in folders of RUNS
and are gone on with; what is found is written to results/nets/encdec.json after each of them.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

import reportgen
from reportgen.training import export, load_recipe, train

ZOO = Path(__file__).parents[2] / "specs" / "zoo"
RESULTS = Path(__file__).parent / "results" / "nets" / "encdec.json"
EPOCHS = {64: 5, 128: 2}
SALT = 0.05  # largest share of a training picture's pixels
TESTS = ("salt_pepper:0.005", "salt_pepper:0.02", "salt_pepper:0.05", "blur:5:1.1", "grey")
HEADS = ("maps", "plain")
JOBS = [  # size, head, seed, noise: first what says most
    *((64, head, seed, 0.0) for seed in (0, 1) for head in HEADS),
    *((128, head, 0, 0.0) for head in HEADS),
    (64, "maps", 0, SALT),
    *((64, head, 2, 0.0) for head in HEADS),
    *((128, head, seed, 0.0) for seed in (1, 2) for head in HEADS),
]
ANSWERS = ("top1", "top5")
OF_MAPS = ("within", "between", "sharpness_right", "sharpness_wrong", "auroc_confidence", "auroc_sharpness")


def recipe_of(size, head, seed, noise, start):
    own = load_recipe(ZOO / "encdec.yaml")
    if head == "plain":
        own = own.model_copy(update={"arch": "resnet_mini", "kwargs": load_recipe(ZOO / "resnet_mini.yaml").kwargs})
    changed = {"size": size, "resize": size * 9 // 8, "seed": seed, "start": start, "epochs": EPOCHS[size]}
    changed |= {"augment": own.augment.model_copy(update={"salt_pepper": noise}), "checkpoints": ()}
    return own.model_copy(update={**changed, "precision": "bf16", "validate_every": EPOCHS[size]})


def measured(recipe, folder, seed, noise):
    """Train, or go on; what the finished net is worth, through the report's own methods."""
    note = folder / "measured.json"
    if note.exists():
        return json.loads(note.read_text(encoding="utf-8"))
    result = train(recipe, folder, "cpu", 1)
    file = folder / f"{recipe.arch}.safetensors"
    if not file.exists():
        export(folder, file, "cpu")
    net, data = reportgen.load_net(recipe.arch, weights=file, device="cpu"), reportgen.load_dataset(recipe.data.val[0])
    found = {"start": round(result.log[0].val_top1, 4)}  # the plain net's: as it was to begin with
    if recipe.arch == "encdec":
        maps = reportgen.compute("class_maps", net, data, classes=1, examples=1).numbers
        found |= {name: round(maps[name], 4) for name in (*ANSWERS, *OF_MAPS)}
    if recipe.arch != "encdec" or (seed, recipe.size) == (0, 64):
        damaged = {"corruptions": list(TESTS), "corrupted": 1000 if (seed, recipe.size) == (0, 64) else 0}
        numbers = reportgen.compute("accuracy", net, data, mistakes=0, **damaged).numbers
        found |= {name: round(numbers[name], 4) for name in (*ANSWERS, "calibration_error")}
        if own := numbers["corruptions"]["rows"]:
            found["damaged"] = {"untouched": numbers["corruptions"]["untouched"]} | {o["words"]: o["top1"] for o in own}
    seconds = round(float(np.mean([row.seconds for row in result.log[1:]])))
    found = {"noise": noise, "seed": seed, **found, "seconds_per_epoch": seconds}
    note.write_text(json.dumps(found), encoding="utf-8")
    return found


def summary(rows):
    """Means over the repeats without noise, and the gap, by size."""
    found = {}
    for size in EPOCHS:
        heads = {h: [r for r in rows if (r["size"], r["head"], r["noise"]) == (size, h, 0)] for h in ("maps", "plain")}
        if all(heads.values()):
            means = {h: {k: round(float(np.mean([r[k] for r in own])), 4) for k in ANSWERS} for h, own in heads.items()}
            gap = {k: round(means["plain"][k] - means["maps"][k], 4) for k in ANSWERS}
            found[str(size)] = {**means, "plain less maps": gap, "repeats": [len(own) for own in heads.values()]}
    return found


def main(start, runs):
    torch.set_num_threads(1)
    rows = []
    for size, head, seed, noise in JOBS:
        folder = Path(runs) / f"encdec_{head}_{size}_{seed}{'_noise' if noise else ''}"
        recipe = recipe_of(size, head, seed, noise, start)
        rows.append({"size": size, "head": head, **measured(recipe, folder, seed, noise)})
        print(json.dumps(rows[-1]), flush=True)
        whole = {"epochs": EPOCHS, "summary": summary(rows), "runs": rows}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
