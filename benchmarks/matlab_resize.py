"""Acceptance of the bicubic resize: MATLAB's own files of a set, and the speed beside BasicSR's.

python -m benchmarks.matlab_resize FOLDER [--rounds 5]

FOLDER holds HR/*.png and LR_bicubic/X{2,3,4}/*x{2,3,4}.png made by MATLAB.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.basicsr_parts import part
from mambair_cli.data.resize import imresize
from mambair_cli.images.decode import decode

SCALES = (2, 3, 4)


def differing(folder: Path, scale: int) -> dict[str, int]:
    """Values that differ from MATLAB's, by image."""
    found = {}
    for path in sorted((folder / "HR").glob("*.png")):
        high = decode(path).pixels
        height, width = (edge - edge % scale for edge in high.shape[:2])
        low = decode(folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png").pixels
        found[path.stem] = int(np.count_nonzero(imresize(high[:height, :width], 1 / scale) != low))
    return found


def seconds(rounds: int, *calls: Callable[[], Any]) -> list[float]:
    """Median seconds of each call, taking turns; the first round only warms up."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds + 1):
        for call, times in zip(calls, taken, strict=True):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
    return [statistics.median(times[1:]) for times in taken]


def main() -> None:
    """Print differences and speed, and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    files = {scale: differing(arguments.folder, scale) for scale in SCALES}
    for scale, images in files.items():
        print(f"x{scale}: {sum(images.values())} values differ in {len(images)} files")
    published = part("utils.matlab_functions").imresize
    high = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    unit = high.astype(np.float32) / 255
    speed = {}
    for scale in SCALES:
        ours, floats, theirs = seconds(
            arguments.rounds,
            lambda: imresize(high, 1 / scale),  # noqa: B023
            lambda: imresize(unit, 1 / scale),  # noqa: B023
            lambda: published(unit, 1 / scale),  # noqa: B023
        )
        speed[scale] = {"uint8": ours, "float32": floats, "basicsr": theirs, "ratio": theirs / ours}
        print(
            f"x{scale}, 1920 x 1080: {ours:.3f} s (floats {floats:.3f}), BasicSR {theirs:.3f} s: {theirs / ours:.1f} x"
        )
    print(json.dumps({"differing": files, "seconds": speed}))


if __name__ == "__main__":
    main()
