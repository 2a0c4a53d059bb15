"""Networks for x4 at equal training time: quality beside what they cost.

PYTHONPATH=kernels:archs:. python -m benchmarks.candidates DATA OUT [--seconds 480] [--only NAME ...] [--device cuda]

Each is trained from nothing for the same seconds (of the processor on a processor, with one thread) by the steps of
:mod:`benchmarks.card`, on the truth and half on what a teacher makes of it where OUT holds ``x4.taught`` or DATA its
weights; then tested on Set5 and Set14 of DATA. Inference is timed with one thread on pictures of 128 and 256 pixels,
all candidates in turn, in seconds of the processor per megapixel of input, medians. Those that are done are kept in
OUT, and go on or are not trained again when the command is repeated.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from .card.__main__ import NANO, TEACHERS, score
from .card.samples import Crops
from .card.sources import Run
from .card.training import Trial, train

X4 = {"upscale": 4}
LIGHT = {"upsampler": "pixelshuffledirect", "d_state": 4}
CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "nano": ("MambaIRNano", NANO),
    "no scan": ("MambaIRNano", NANO | {"scan_after": []}),
    "no scan, one block more": ("MambaIRNano", NANO | {"scan_after": [], "depth": 9}),
    "two scans": ("MambaIRNano", NANO | {"scan_after": [3, 6]}),
    "scan of squares of 2": ("MambaIRNano", NANO | {"scan_stride": 2}),
    "scan of squares of 8": ("MambaIRNano", NANO | {"scan_stride": 8}),
    "one state": ("MambaIRNano", NANO | {"d_state": 1}),
    "16 states": ("MambaIRNano", NANO | {"d_state": 16}),
    "wider, fewer": ("MambaIRNano", NANO | {"embed_dim": 64, "depth": 5}),
    "narrower, more": ("MambaIRNano", NANO | {"embed_dim": 32, "depth": 16, "scan_dim": 32}),
    "MambaIR, thin": ("MambaIR", LIGHT | {"embed_dim": 32, "depths": [2], "mlp_ratio": 1.0, "drop_path_rate": 0.0}),
    "T-PMambaSR, thin": ("T_PMambaSR", LIGHT | {"embed_dim": 24, "depths": [1], "num_heads": [4]}),
}
SIZES = (128, 256)


def costs(runs: list[Run], rounds: int = 3) -> dict[str, dict[int, float]]:
    """Processor seconds of each per megapixel of input, by the edge of the picture."""
    networks = {run.name: run.build().eval() for run in runs}
    found: dict[str, dict[int, float]] = {name: {} for name in networks}
    with torch.inference_mode():
        for edge in SIZES:
            image = torch.rand(1, 3, edge, edge)
            taken: dict[str, list[float]] = {name: [] for name in networks}
            for number in range(rounds + 1):
                for name, network in networks.items():
                    started = time.process_time()
                    network(image)
                    if number:  # the first pays for what is made once
                        taken[name].append(time.process_time() - started)
            for name, values in taken.items():
                found[name][edge] = statistics.median(values) * 1e6 / edge**2
    return found


def main() -> None:
    """Train and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--only", nargs="*", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(given.device)
    runs = []
    for name in given.only:
        arch, options = CANDIDATES[name]
        sizes = {"batch": given.batch, "patch": given.patch}
        runs.append(
            Run(name=name, task="upscale", share=1, arch=arch, options=options | X4, teacher=TEACHERS[4], **sizes)
        )
    relative = costs(runs)
    crops = Crops(given.data / "photos", device)
    for run in runs:
        row = _row(run, crops, given, relative[run.name])
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def _row(run: Run, crops: Crops, given: argparse.Namespace, cost: dict[int, float]) -> dict[str, Any]:
    """Train one that was not trained yet."""
    kept = given.out / f"{run.name}.json"
    if not kept.is_file():
        teacher = given.data / "weights" / str(run.teacher)
        trial = Trial(
            seconds=given.seconds,
            lr=given.lr,
            folder=given.out,
            teacher=teacher if teacher.is_file() else None,
            taught=given.out / "x4.taught",
        )
        state, report = train(run, crops, trial)
        scores = {name: score(run, state, given.data / name, crops.high.device) for name in ("Set5", "Set14")}
        facts = {"parameters": sum(value.numel() for value in state.values()), "steps": report["steps"]}
        kept.write_text(json.dumps(facts | scores))
    costs = {f"s/Mpx at {edge}": round(value, 2) for edge, value in cost.items()}
    found: dict[str, Any] = {"name": run.name} | json.loads(kept.read_text()) | costs
    return found


if __name__ == "__main__":
    main()
