"""Patches per second of one process for each degradation, decoded photos in memory.

python -m benchmarks.patches FOLDER [--edge 96 --rounds 3]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from mambair_cli.data.datasets import PhotoPatchDataset

DEGRADATIONS: list[tuple[int, dict[str, Any]]] = [
    (2, {"type": "bicubic"}),
    (4, {"type": "bicubic"}),
    (1, {"type": "noise", "sigma": [0, 50]}),
    (1, {"type": "jpeg", "quality": [10, 90], "subsampling": ["4:4:4", "4:2:0"]}),
    (1, {"type": "haze"}),
]


def rate(data: PhotoPatchDataset, rounds: int) -> float:
    """The best of some rounds over all photos."""
    best = 0.0
    for _ in range(rounds):
        started = time.perf_counter()
        for index in range(len(data)):
            data[index]
        best = max(best, len(data) / (time.perf_counter() - started))
    return best


def main() -> None:
    """Print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--edge", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows = []
    for scale, degradation in DEGRADATIONS:
        options = {"dataroot_gt": arguments.folder, "gt_size": arguments.edge, "scale": scale, "in_memory": True}
        data = PhotoPatchDataset(options | {"degradation": degradation, "detail": 0.5})
        rows.append({**degradation, "scale": scale, "patches_per_second": round(rate(data, arguments.rounds))})
        print(
            f"{degradation['type']:8} x{scale}: {rows[-1]['patches_per_second']} patches of {arguments.edge} per second"
        )
    print(json.dumps({"edge": arguments.edge, "rows": rows}))


if __name__ == "__main__":
    main()
