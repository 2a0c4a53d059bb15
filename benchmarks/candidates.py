"""Small networks at equal training time: quality against the cost of inference.

python -m benchmarks.candidates --root datasets --test Set5 --test Set14 --minutes 12 [--only NAME ...] [--json FILE]

Every candidate is trained from its seed by `mambair train options/nano_SR_x2.yml` with one thread, in bf16 and with 8
patches a step, as many steps as fit into the processor time given (its own forward, backward and Adam step, measured
first), then tested. Inference is timed
with one thread, all candidates in turn in one process, as the minimum, relative to MambaIR-light x2. Runs are
kept in the working folder and go on after an interruption.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mambair_archs import MambaIR

COMMON: dict[str, Any] = {"conv_block": "bottleneck", "upsampler": "pixelshuffledirect", "drop_path_rate": 0.0}
LIGHT: dict[str, Any] = {"d_state": 10, "mlp_ratio": 1.2, "upsampler": "pixelshuffledirect"}
CANDIDATES: dict[str, dict[str, Any]] = {
    "full-cab": {"embed_dim": 48, "depths": [4], "d_state": 4, "mlp_ratio": 1.0, "compress_ratio": 1},
    "third-cab": {"embed_dim": 48, "depths": [4], "d_state": 4, "mlp_ratio": 1.0, "compress_ratio": 3},
    "two-groups": {"embed_dim": 48, "depths": [2, 2], "d_state": 8, "mlp_ratio": 1.0, "compress_ratio": 3},
    "deep-thin": {"embed_dim": 32, "depths": [3, 3], "d_state": 4, "mlp_ratio": 1.0, "compress_ratio": 1},
    "wide": {"embed_dim": 64, "depths": [3], "d_state": 4, "mlp_ratio": 0.5, "compress_ratio": 2},
}
SQUEEZE = 16
RECIPE = "options/nano_SR_x2.yml"
BATCH, PATCH = 8, 48  # in input pixels


def network(options: dict[str, Any]) -> nn.Module:
    """A candidate for x2 with weights of its initialisation."""
    return MambaIR(upscale=2, **{**COMMON, "squeeze_factor": SQUEEZE, **options})


def step_seconds(options: dict[str, Any], steps: int = 6) -> float:
    """Processor seconds of the fastest training step."""
    model = network(options)
    optimiser = torch.optim.Adam(model.parameters())
    batch, target = torch.rand(BATCH, 3, PATCH, PATCH), torch.rand(BATCH, 3, 2 * PATCH, 2 * PATCH)

    def step() -> None:
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = model(batch)
        (result.float() - target).abs().mean().backward()
        optimiser.step()

    return min(clocked(step) for _ in range(steps))


def clocked(work: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    started = time.process_time()
    work()
    return time.process_time() - started


def costs(names: list[str], rounds: int = 7) -> dict[str, float]:
    """Inference of each candidate on 128 x 128 pixels, relative to MambaIR-light."""
    models = {name: network(CANDIDATES[name]).eval() for name in names}
    models["light"] = MambaIR(upscale=2, **LIGHT).eval()
    image = torch.rand(1, 3, 128, 128)
    best = dict.fromkeys(models, float("inf"))
    with torch.inference_mode():
        for _ in range(rounds):
            for name, model in models.items():
                best[name] = min(best[name], clocked(lambda model=model: model(image)))  # type: ignore[misc]
    return {name: best[name] / best["light"] for name in names}


def train(name: str, steps: int, root: Path) -> Path:
    """Train a candidate in the working folder."""
    options = [f"network_g.{key}={json.dumps(value)}" for key, value in CANDIDATES[name].items()]
    options += [f"datasets.train.batch_size_per_gpu={BATCH}", "train.precision=bf16"]
    run = f"candidate_{name}"
    command = ["train", RECIPE, "--root", str(root), f"name={run}", f"train.total_iter={steps}"]
    command += [f"train.scheduler.periods=[{steps}]", f"train.warmup_iter={steps // 20}", f"val.val_freq={steps}"]
    mambair(*command, *options)
    return Path("experiments", run, "models", "net_g_latest.pth")


def mambair(*arguments: str) -> str:
    """Run the command with one thread; its standard output."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mambair_cli", *arguments, "--no-progress"]
    return subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


def scores(model: Path, folders: list[Path]) -> dict[str, float]:
    """PSNR per test set."""
    arguments = [part for folder in folders for part in ("--data", str(folder))]
    lines = mambair("test", "--model", str(model), *arguments, "--json").splitlines()
    return {record["set"]: record["psnr"] for record in map(json.loads, lines)}


def main() -> None:
    """Train and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("datasets"))
    parser.add_argument("--test", type=Path, action="append", required=True)
    parser.add_argument("--minutes", type=float, default=12)
    parser.add_argument("--only", nargs="*", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    relative = costs(arguments.only)
    rows = []
    for name in arguments.only:
        seconds = step_seconds(CANDIDATES[name])
        steps = int(60 * arguments.minutes / seconds)
        row: dict[str, Any] = {"name": name, "steps": steps, "seconds_per_step": seconds, "cost": relative[name]}
        row["parameters"] = sum(weight.numel() for weight in network(CANDIDATES[name]).parameters())
        row["psnr"] = scores(train(name, steps, arguments.root), arguments.test)
        rows.append(row)
        psnr = ", ".join(f"{key} {value:.2f} dB" for key, value in row["psnr"].items())
        print(
            f"{name:11} {row['parameters']:7,} parameters, {steps} steps, {psnr}, {row['cost']:.3f} of light",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
