"""Quality switches on a set of images: PSNR, and time over that of the plain run.

python -m benchmarks.quality MODEL FOLDER [--sigma 25 | --quality 10] [--device cuda] [--json FILE]

FOLDER is in any published layout. All switches of an image run in turn within one process; of the ratios of all images
the smallest and the largest are left out, and the rest averaged.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from mambair_cli import load_model
from mambair_cli.data import degrade, imagesets
from mambair_cli.metrics.evaluate import customary
from mambair_cli.metrics.psnr import psnr
from mambair_cli.restoration.choices import Choices
from mambair_cli.restoration.engine import Report
from mambair_cli.restoration.prepared import restore

SWITCHES: dict[str, dict[str, Any]] = {
    "plain": {},
    "ensemble": {"ensemble": True},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
}


def main() -> None:
    """Print a table, and write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sigma", type=float)
    parser.add_argument("--quality", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.model, arguments.device)
    scale, gray = model.descriptor.scale, model.descriptor.in_channels == 1
    images = imagesets.open_set(arguments.folder, scale, arguments.sigma, arguments.quality)
    measure = customary(model)
    scores: dict[str, list[float]] = {name: [] for name in SWITCHES}
    ratios: dict[str, list[float]] = {name: [] for name in SWITCHES}
    notes: set[str] = set()
    for sample in images.samples:
        low, good = images.load(sample, scale, gray)
        seconds: dict[str, float] = {}
        for name, choices in SWITCHES.items():
            report, started = Report(), time.perf_counter()
            found: Any = restore(low, model, Choices(**choices), report=report, unclipped=True)
            seconds[name] = time.perf_counter() - started
            found = found if found.dtype == np.uint8 else degrade.stored(found)
            scores[name].append(psnr(found, good, measure.crop_border, measure.y_channel))
            ratios[name].append(seconds[name] / seconds["plain"])
            notes.update(report.notes)
    rows: list[dict[str, Any]] = [
        {"switch": name, "psnr": fmean(scores[name]), "time": _middle(ratios[name])} for name in SWITCHES
    ]
    print(f"{model.name} on {images.name} ({len(images.samples)} images), {model.device}")
    print(f"{'switch':9} {'PSNR':>7} {'gain':>7} {'time':>6}")
    for row in rows:
        print(f"{row['switch']:9} {row['psnr']:7.3f} {row['psnr'] - rows[0]['psnr']:+7.3f} {row['time']:6.2f}")
    print(*sorted(notes), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps({"model": model.name, "rows": rows, "notes": sorted(notes)}, indent=1))


def _middle(values: list[float]) -> float:
    """The mean without the extremes."""
    return fmean(sorted(values)[1:-1] if len(values) > 2 else values)


if __name__ == "__main__":
    main()
