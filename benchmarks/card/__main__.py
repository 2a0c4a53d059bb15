"""Trains the models that ship on one graphics card, within a number of seconds.

PYTHONPATH=kernels:archs:. python -m benchmarks.card SECONDS DATA OUT [--only NAME…] [--device cpu]

DATA holds ``photos/``, and where there is any ``Set5/`` (good pictures, to report a score of each network) and
``weights/``: ``T_PMambaSR_x2.pth``, ``_x3``, ``_x4`` to learn from, ``start.pth`` with tensors of earlier networks
under the names of the runs, from which they go on. OUT gets ``models.pth``, the averaged weights of each run under its
name, and ``rows.json``, both written anew after every run. Each run gets its share of the time that is left; SECONDS
begin when torch has been imported, which took a fresh machine up to 15 s.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from mambair_archs import MambaIRNano

from . import harm
from .samples import Crops, Reduce
from .training import Run, StateDict, train

SMALL = {"embed_dim": 48, "depth": 6, "scan_after": [3], "scan_dim": 48, "scan_stride": 4, "d_state": 4}
RESTORE = SMALL | {"upscale": 1, "unshuffle": 2, "embed_dim": 64}
PLAN = [
    Run(name="x4", task="upscale", share=1.5, options=SMALL | {"upscale": 4}, start="x4", teacher="T_PMambaSR_x4.pth"),
    Run(name="denoise", task="denoise", share=1.0, options=RESTORE),
    Run(name="x2", task="upscale", share=1.0, options=SMALL | {"upscale": 2}, start="x4", teacher="T_PMambaSR_x2.pth"),
    Run(name="x3", task="upscale", share=0.9, options=SMALL | {"upscale": 3}, start="x4", teacher="T_PMambaSR_x3.pth"),
    Run(name="dejpeg", task="dejpeg", share=0.8, options=RESTORE, start="denoise"),
    Run(name="photo-x4", task="photo", share=0.8, options=SMALL | {"upscale": 4}, start="x4"),
]


def score(run: Run, state: StateDict, folder: Path, device: torch.device) -> float | None:
    """Mean PSNR on good pictures: of Y with the scale as border, or of all channels at sigma 25 or quality 10."""
    if not folder.is_dir() or run.task == "photo":
        return None
    net = MambaIRNano(**run.options)
    net.load_state_dict(state)
    net = net.to(device).eval()
    torch.manual_seed(0)
    found = []
    for path in sorted(folder.iterdir()):
        edges = np.asarray(Image.open(path).convert("RGB")).astype(np.float32)
        grid = 48
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
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    weights = given.data / "weights"
    crops = Crops(given.data / "photos", device, given.photos)
    print(f"{len(crops.high)} crops after {time.monotonic() - began:.1f} s", flush=True)
    models: dict[str, StateDict] = {}
    starts = torch.load(weights / "start.pth", weights_only=True) if (weights / "start.pth").is_file() else {}
    rows: list[dict[str, Any]] = []
    plan = [run for run in PLAN if not given.only or run.name in given.only]
    for number, run in enumerate(plan):
        now = time.monotonic()
        share = run.share / sum(each.share for each in plan[number:])
        end = now + share * (began + given.seconds - now)
        start = starts.get(run.name) or models.get(run.start or "") or starts.get(run.start or "")
        teacher = weights / run.teacher if run.teacher and (weights / run.teacher).is_file() else None
        try:
            profile = given.profile and number == 0
            models[run.name], row = train(run, crops, end, given.lr, start, teacher, profile)
            row["score"] = score(run, models[run.name], given.data / "Set5", device)
        except Exception as error:  # the other runs must not be lost with this one
            row = {"name": run.name, "error": repr(error)[:2000]}
        rows.append(row)
        print(json.dumps(row), flush=True)
        torch.save(models, given.out / "models.part")
        (given.out / "models.part").replace(given.out / "models.pth")
        (given.out / "rows.json").write_text(json.dumps(rows, indent=1))
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
