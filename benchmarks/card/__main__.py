"""Trains the models that ship within a number of seconds, on one graphics card or on a processor.

PYTHONPATH=kernels:archs:. python -m benchmarks.card SECONDS DATA OUT [--only NAME…]
… --device cpu [--threads 1] [--batch 16] [--patch 32] [--compile] [--seed N] --only x4

DATA holds ``photos/``, and where there is any ``Set5/`` (good pictures, to report a score of each network) and
``weights/``: ``T_PMambaSR_x2.pth``, ``_x3``, ``_x4`` to learn from, ``start.pth`` with tensors of earlier networks
under the names of the runs, from which they go on. OUT gets ``models.pth``, the averaged weights of each run under its
name, and ``rows.json``, both written anew after every run. Each run gets its share of the time that is left; SECONDS
begin when torch has been imported, which took a fresh machine up to 15 s.

On a processor a command takes one run, and its seconds are the processor's, for training alone. It keeps its state and
its weights in OUT every five minutes and at the end, prints the scores, and goes on from there when it is started
again. Computed in bf16 until shortly before the end, a step takes less than half of the time where the processor has
AMX. Two cores train two replicas of a run, with seeds and folders of their own: see :mod:`benchmarks.card.merge`.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from . import harm
from .samples import Crops, Reduce
from .sources import Run
from .training import StateDict, Trial, train

NANO = {"embed_dim": 48, "depth": 8, "scan_after": [3], "scan_dim": 48, "scan_stride": 4, "d_state": 4}
SMALL = NANO | {"embed_dim": 64, "depth": 14, "scan_after": [3, 7, 11]}
RESTORER: dict[str, Any] = {
    "options": {"dims": [64, 64, 64], "blocks": [2, 3, 4]},
    "arch": "MambaIRNanoUNet",
    "patch": 96,
}
TEACHERS = {scale: f"T_PMambaSR_x{scale}.pth" for scale in (2, 3, 4)}
PLAN = [
    Run(name="x4", task="upscale", share=1.5, options=NANO | {"upscale": 4}, start="x4", teacher=TEACHERS[4]),
    Run(name="denoise", task="denoise", share=1.0, **RESTORER),
    Run(name="x2", task="upscale", share=1.0, options=NANO | {"upscale": 2}, start="x4", teacher=TEACHERS[2]),
    Run(name="x3", task="upscale", share=1.3, options=NANO | {"upscale": 3}, start="x4", teacher=TEACHERS[3]),
    Run(name="dejpeg", task="dejpeg", share=0.8, start="denoise", **RESTORER),
    Run(name="photo-x4", task="photo", share=0.8, options=NANO | {"upscale": 4}, start="x4"),
    Run(name="small-x4", task="upscale", share=2.0, options=SMALL | {"upscale": 4}, start="x4", teacher=TEACHERS[4]),
]


def score(run: Run, state: StateDict, folder: Path, device: torch.device) -> float | None:
    """Mean PSNR on good pictures: of Y with the scale as border, or of all channels at sigma 25 or quality 10."""
    if not folder.is_dir() or run.task == "photo":
        return None
    net = run.build()
    net.load_state_dict(state)
    net.to(device).eval()
    found = []
    generator = torch.random.get_rng_state()
    torch.manual_seed(0)
    for path in sorted(folder.iterdir()):
        edges = np.asarray(Image.open(path).convert("RGB")).astype(np.float32)
        grid = run.scale if run.task == "upscale" else 16
        edges = edges[: edges.shape[0] // grid * grid, : edges.shape[1] // grid * grid]
        good = torch.from_numpy(edges).permute(2, 0, 1)[None].to(device)
        if run.task == "upscale":
            poor = Reduce(run.scale, device)(good)
        elif run.task == "denoise":
            poor = harm.white_noise(good, harm.uniform(good, 25, 25))
        else:
            poor = harm.Jpeg(device)(good, harm.uniform(good, 10, 10), harm.chance(good, 2))
        with torch.inference_mode():
            made = harm.stored(net(poor / 255) * 255)
        difference = made - good
        if run.task == "upscale":
            weights = torch.tensor([65.481, 128.553, 24.966], device=device).view(1, 3, 1, 1) / 255
            b = run.scale
            difference = (difference * weights).sum(1)[:, b:-b, b:-b]
        found.append(10 * math.log10(255**2 / float(difference.double().square().mean())))
    torch.random.set_rng_state(generator)
    return round(float(np.mean(found)), 3)


def main() -> None:
    """See the module."""
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=float)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate after warming up")
    parser.add_argument("--profile", action="store_true", help="print what takes the time of a step of the first run")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--photos", type=int, help="read only so many photos")
    parser.add_argument("--threads", type=int, help="of the processor")
    parser.add_argument("--batch", type=int, help="pictures of a step")
    parser.add_argument("--patch", type=int, help="pixels a side of an input, a multiple of 16")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--compile", action="store_true", help="compile the step, by a C++ compiler, on a processor")
    given = parser.parse_args()
    sizes = {name: value for name in ("batch", "patch") if (value := getattr(given, name))}
    plan = [replace(run, **sizes) for run in PLAN if not given.only or run.name in given.only]
    device = torch.device(given.device)
    if device.type == "cpu" and len(plan) != 1:
        parser.error("a processor takes one run a command: say --only NAME")
    if given.patch and given.patch % harm.JPEG_UNIT:
        parser.error(f"--patch {given.patch} is no multiple of {harm.JPEG_UNIT}: JPEG would be cut; take 32 or 48")
    if given.compile and device.type == "cuda":
        parser.error("--compile is for processors; a card runs the step as one graph")
    if device.type == "cpu":
        from mambair_cli.restoration.memory import keep_freed_memory  # wants psutil, which a card's machine lacks

        keep_freed_memory()
    if given.threads:
        torch.set_num_threads(given.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    weights = given.data / "weights"
    crops = Crops(given.data / "photos", device, given.photos)
    print(f"{len(crops.high)} crops after {time.monotonic() - began:.1f} s", flush=True)
    models: dict[str, StateDict] = {}
    starts = torch.load(weights / "start.pth", weights_only=True) if (weights / "start.pth").is_file() else {}
    rows: list[dict[str, Any]] = []

    def scores(run: Run, state: StateDict) -> dict[str, float | None]:
        return {name: score(run, state, given.data / name, device) for name in ("Set5", "Set14")}

    def keep(name: str, state: StateDict) -> None:
        models[name] = state
        torch.save(models, given.out / "models.part")
        (given.out / "models.part").replace(given.out / "models.pth")

    for number, run in enumerate(plan):
        now = time.monotonic()
        share = run.share / sum(each.share for each in plan[number:])

        def report(state: StateDict, count: int, run: Run = run) -> None:
            keep(run.name, state)
            print(json.dumps({"name": run.name, "steps": count, "scores": scores(run, state)}), flush=True)

        trial = Trial(
            seconds=share * (began + given.seconds - now) if device.type == "cuda" else given.seconds,
            lr=given.lr,
            folder=given.out,
            start=starts.get(run.name) or models.get(run.start or "") or starts.get(run.start or ""),
            teacher=weights / run.teacher if run.teacher and (weights / run.teacher).is_file() else None,
            compiled=given.compile,
            seed=given.seed,
            profile=given.profile and number == 0,
            report=report,
        )
        try:
            state, row = train(run, crops, trial)
            keep(run.name, state)
            row["scores"] = scores(run, state)
        except Exception as error:  # the other runs must not be lost with this one
            row = {"name": run.name, "error": repr(error)[:2000]}
        rows.append(row)
        print(json.dumps(row), flush=True)
        (given.out / "rows.json").write_text(json.dumps(rows, indent=1))
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
