"""Acceptance on Set5: Y-PSNR of a x4 model, whole image and tiled, and whether two runs give the same bytes.

python benchmarks/set5.py MODEL FOLDER [--tile 48 --overlap 8]

FOLDER holds HR/*.png and LR_bicubic/X4/*x4.png.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from mambair_cli import load_model, restore
from mambair_cli.images.decode import decode
from mambair_cli.metrics.psnr import psnr


def main() -> None:
    """Print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tile", type=int, default=48)
    parser.add_argument("--overlap", type=int, default=8)
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    scale = model.descriptor.scale
    rows = []
    for path in sorted((arguments.folder / "HR").glob("*.png")):
        target = decode(path).pixels
        low = decode(arguments.folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png").pixels
        started = time.perf_counter()
        whole = restore(low, model, tile=0)
        seconds = time.perf_counter() - started
        tiled = restore(low, model, tile=arguments.tile, overlap=arguments.overlap)
        target = target[: whole.shape[0], : whole.shape[1]]
        row = {
            "image": path.stem,
            "whole": psnr(whole, target, scale, y_channel=True),
            "tiled": psnr(tiled, target, scale, y_channel=True),
            "same_bytes": bool(np.array_equal(whole, restore(low, model, tile=0))),
            "seconds": round(seconds, 2),
        }
        rows.append(row)
        print(f"{row['image']:12} whole {row['whole']:.4f} dB  tiled {row['tiled']:.4f} dB  {row['seconds']:.2f} s")
    mean = {key: float(np.mean([row[key] for row in rows])) for key in ("whole", "tiled")}
    print(f"{'mean':12} whole {mean['whole']:.4f} dB  tiled {mean['tiled']:.4f} dB")
    print(json.dumps({"mean": mean, "images": rows}))


if __name__ == "__main__":
    main()
