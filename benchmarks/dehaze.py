"""What a dehazing model must show beside its PSNR: clear pictures stay, large ones are quick and without seams.

python -m benchmarks.dehaze --model FILE --clear DIR [DIR ...] [--photo FILE] [--json FILE]

Clear pictures: PSNR of the result against the picture itself, and by how much the mean of each colour of the brightest
tenth (skies, walls) moves, in levels of 8 bits. A photo, or one made by enlarging the first clear picture, is taken to
24 megapixels: seconds, growth of peak memory, and whether other tiles give the same.
"""

import argparse
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mambair_cli import restore
from mambair_cli.data import photos
from mambair_cli.images.picture import Pixels
from mambair_cli.metrics.psnr import psnr
from mambair_cli.restoration.memory import keep_freed_memory
from mambair_cli.weights.loader import load
from mambair_cli.weights.model import Model

LARGE = (6000, 4000)


def cast(before: Pixels, after: Pixels) -> list[float]:
    """Change of the mean of each colour where ``before`` is brightest."""
    luma = before.mean(axis=2)
    bright = luma >= np.quantile(luma, 0.9)
    return [round(float(x), 2) for x in after[bright].mean(axis=0) - before[bright].mean(axis=0)]


def clear(model: Model, folder: Path) -> dict[str, Any]:
    """Every picture of a folder."""
    found, values = {}, []
    for path in photos.find(folder):
        picture = photos.load(path)
        result = restore(picture, model)
        values.append(min(psnr(result, picture), 99.0))
        found[path.name] = {"psnr": round(values[-1], 2), "cast": cast(picture, result)}
    low = sum(value < 30 for value in values)
    median, least = statistics.median(values), min(values)
    print(f"{folder}: median {median:.2f} dB, least {least:.2f} dB, {low} of {len(values)} under 30 dB")
    return found


def large(model: Model, photo: Pixels) -> dict[str, Any]:
    """One picture of 24 megapixels."""
    picture = cv2.resize(photo, LARGE, interpolation=cv2.INTER_CUBIC)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    result = restore(picture, model)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    same = bool(np.array_equal(restore(picture, model, tile=1111, overlap=0), result))
    print(
        f"24 megapixels: {seconds:.1f} s ({cpu:.1f} s of processors), peak grew by {grown:.0f} MiB; tiles equal: {same}"
    )
    return {"seconds": seconds, "cpu_seconds": cpu, "mib": grown, "tiles_equal": same}


def main() -> None:
    """Measure one model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--clear", type=Path, nargs="+", required=True)
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    keep_freed_memory()
    model = load(options.model, "cpu")
    first = options.photo or photos.find(options.clear)[0]
    record = {"large": large(model, photos.load(first))}
    record |= {str(folder): clear(model, folder) for folder in options.clear}
    if options.json:
        options.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
