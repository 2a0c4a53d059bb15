"""Throughput of our loop against BasicSR's own train_pipeline, and what a step spends outside the network.

python -m benchmarks.train_loop [--steps 300] [--rounds 3] [--light-steps 6] [--json FILE]

Both train the same tiny EDSR (PairedImageDataset, SRModel, two workers) and take turns in one process. The clock runs
from the end of the 20th step to that of the last, so building and starting do not count. The second part trains
options/lightSR_x2.yml on generated photos with batches of 2.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from mambair_cli.console import Console
from mambair_cli.training import start
from mambair_cli.training.basicsr import bridge
from mambair_cli.training.recipe.reading import Recipe, read_recipe

WARM_UP = 20
PAIRED = {"type": "PairedImageDataset", "dataroot_gt": "hr", "dataroot_lq": "lr", "io_backend": {"type": "disk"}}


def recipe(steps: int) -> dict[str, Any]:
    """A tiny EDSR as BasicSR and we read it."""
    size = {"gt_size": 32, "use_hflip": True, "use_rot": True, "dataset_enlarge_ratio": 1000}
    load = {"num_worker_per_gpu": 2, "batch_size_per_gpu": 4, "name": "pairs"}
    network = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 16, "num_block": 4, "upscale": 2}
    return {
        "name": "edsr",
        "model_type": "SRModel",
        "scale": 2,
        "num_gpu": 0,
        "manual_seed": 0,
        "datasets": {"train": PAIRED | size | load},
        "network_g": network,
        "path": {},
        "train": {
            "ema_decay": 0.999,
            "optim_g": {"type": "Adam", "lr": 1e-4},
            "scheduler": {"type": "MultiStepLR", "milestones": [10], "gamma": 0.5},
            "total_iter": steps,
            "pixel_opt": {"type": "L1Loss"},
        },
        "logger": {"print_freq": 100, "save_checkpoint_freq": 10**6, "use_tb_logger": False},
    }


def make_data(folder: Path) -> None:
    """Eight pairs of 128 and 64 pixels."""
    generator = np.random.default_rng(0)
    for name in ("hr", "lr"):
        (folder / name).mkdir()
    for number in range(8):
        high = cv2.GaussianBlur(generator.integers(0, 256, (128, 128, 3), dtype=np.uint8), (0, 0), 2)
        cv2.imwrite(str(folder / "hr" / f"{number}.png"), high)
        cv2.imwrite(str(folder / "lr" / f"{number}.png"), cv2.resize(high, (64, 64), interpolation=cv2.INTER_AREA))


@contextmanager
def watched(model: Any) -> Iterator[list[tuple[float, float]]]:
    """Begin and end of every step that models of this class take meanwhile."""
    original, times = model.optimize_parameters, []

    def step(self: Any, current_iter: int) -> None:
        began = time.perf_counter()
        original(self, current_iter)
        times.append((began, time.perf_counter()))

    model.optimize_parameters = step
    try:
        yield times
    finally:
        model.optimize_parameters = original


def theirs(model: Any) -> list[tuple[float, float]]:
    """BasicSR's pipeline."""
    from basicsr.train import train_pipeline

    before, sys.argv = sys.argv, ["train.py", "-opt", "recipe.yml"]
    try:
        with watched(model) as times, contextlib.redirect_stdout(io.StringIO()):
            train_pipeline(str(Path.cwd() / "theirs"))
    finally:
        sys.argv = before
    return times


def ours(model: Any, recipe: Recipe) -> list[tuple[float, float]]:
    """Our loop."""
    with watched(model) as times:
        start.train(recipe, Path.cwd(), False, Console(quiet=True))
    return times


def summary(times: list[tuple[float, float]], skip: int) -> tuple[float, float]:
    """Steps per second, and the share of the time outside the steps."""
    kept = times[skip:]
    whole = kept[-1][1] - times[skip - 1][1]
    return len(kept) / whole, 1 - sum(end - began for began, end in kept) / whole


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--light-steps", type=int, default=6)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    target = arguments.json and arguments.json.resolve()
    bridge.load()
    from basicsr.models.sr_model import SRModel

    from mambair_cli.training.basicsr.models import MambaIRModel

    result: dict[str, Any] = {"ours": [], "basicsr": []}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_data(Path())
        Path("recipe.yml").write_text(yaml.safe_dump(recipe(arguments.steps)), encoding="utf-8")
        for _ in range(arguments.rounds):
            result["basicsr"].append(summary(theirs(SRModel), WARM_UP)[0])
            result["ours"].append(summary(ours(SRModel, read_recipe("recipe.yml")), WARM_UP)[0])
        ratio = statistics.median(a / b for a, b in zip(result["ours"], result["basicsr"], strict=True))
        for name in ("ours", "basicsr"):
            print(f"{name}: {statistics.median(result[name]):.1f} steps a second")
        print(f"ours over BasicSR's: {ratio:.3f}")
        changes = [f"train.total_iter={arguments.light_steps}", "train.scheduler.milestones=[1]"]
        data = {"train": {**PAIRED, "name": "p", "gt_size": 128, "batch_size_per_gpu": 2, "num_worker_per_gpu": 1}}
        changes += [f"datasets={json.dumps(data)}", "logger.use_tb_logger=false", "val=null"]
        light = read_recipe("options/lightSR_x2.yml", changes)
        rate, outside = summary(ours(MambaIRModel, light), 2)
        print(f"light recipe: {1 / rate:.2f} s a step, {outside:.2%} of it outside the network's step")
        os.chdir("/")
    result |= {"ratio": ratio, "light_seconds": 1 / rate, "light_outside": outside}
    if target:
        target.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
