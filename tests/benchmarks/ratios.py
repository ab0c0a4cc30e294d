"""What the bench measured, as ratios: CPU time of the best correct peer over ours, for each workload and net.

`python tests/benchmarks/ratios.py results/*.json`. Correct is what agrees with the bench's own float32 reference to a
cosine of 0.99, or has none to agree with. Beside it the forward passes that we executed per item and the least that the
bench knows of.
"""

import json
import sys
from pathlib import Path

TARGETS = {  # issue 3: alexnet, vgg16, googlenet, resnet50
    "W1": (1.1, 1.2, 1.8, 1.7),
    "W2-deconv": (3, 8, 6, 6),
    "W2-guided": (3, 8, 6, 6),
    "W3": (2, 3, 4, 2.5),
    "W4": (3, 2, 3, 2.5),
    "W5": (1.1, 1.2, 2, 1.8),
    "W6": (1.5, 1.4, 2.5, 2),
    "W8-smoothgrad": (1.1, 1.2, 1.8, 1.7),
    "W8-ig": (1.1, 1.2, 1.8, 1.7),
}
MODELS = ("alexnet", "vgg16", "googlenet", "resnet50")
OWN = "reportgen"


def table(measured):
    """A line per workload and net, from the bench's rows."""
    for workload, targets in TARGETS.items():
        for model, target in zip(MODELS, targets, strict=True):
            rows = [r for r in measured if (r["workload"], r["model"]) == (workload, model) and "cpu_seconds" in r]
            ours = [r for r in rows if r["tool"].startswith(OWN)]
            if not ours:
                continue
            peers = [r for r in rows if not r["tool"].startswith((OWN, "plain"))]
            if workload == "W4":
                peers = [r for r in peers if r["tool"].startswith("lucent")]
            if workload == "W5":  # no library does it; people put hooks on a net
                peers = [r for r in rows if r["tool"].startswith("plain hooks") and "stop" not in r["tool"]]
            right = [r for r in peers if (r.get("cosine_to_reference") or 1) > 0.99]
            # where every peer is wrong, the quickest of them is the mark to beat
            best = min(right or peers, key=lambda r: r["cpu_seconds"] / r["items"])
            own, other = (r["cpu_seconds"] / r["items"] for r in (ours[0], best))
            executed = ours[0].get("forward_equivalents_per_item", 0)
            yield workload, model, other / own, target, best["tool"] + ("" if right else " (wrong)"), own, executed


def main(paths):
    """Print the table of all files together; a workload of a later file takes the place of an earlier one's."""
    latest = {}
    for path in paths:
        rows = json.loads(Path(path).read_text())["measurements"]
        for key in {(row["workload"], row["model"]) for row in rows}:
            latest[key] = [row for row in rows if (row["workload"], row["model"]) == key]
    measured = [row for rows in latest.values() for row in rows]
    for workload, model, ratio, target, peer, own, executed in table(measured):
        mark = " " if ratio >= target else "<"
        print(f"{workload:14} {model:10} {ratio:5.2f} {mark} {target:4} {1e3 * own:8.1f} ms {executed:6.3f} f  {peer}")


if __name__ == "__main__":
    main(sys.argv[1:])
