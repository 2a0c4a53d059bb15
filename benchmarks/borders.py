"""What the borders of tiles cost: PSNR against the ground truth of tiles of several overlaps, less that of the whole.

python -m benchmarks.borders PHOTOS [--models NAME ...] [--tiles 256 320] [--overlaps 4 8 16 32 64] [--count 6]

PHOTOS is a folder of sharp photos. Each is reduced, made noisy (sigma 25) or compressed (quality 40), as the task of
the model asks, restored as a whole and in tiles, and compared. Medians and the worst photo are printed, and the pixels
that the network sees over those of the photo.
"""

import argparse
import io
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mambair_cli import load_model
from mambair_cli.data.resize import imresize
from mambair_cli.restoration import tiles
from mambair_cli.restoration.engine import Settings, restore
from mambair_cli.restoration.model import settings
from mambair_cli.weights.model import Model

Pixels = NDArray[np.uint8]
MODELS = ("mambair-nano-x2", "mambair-nano-x3", "mambair-nano-x4", "mambair-nano-denoise", "mambair-nano-dejpeg")
SMALLEST = 190


def degraded(photo: Pixels, model: Model) -> Pixels:
    """What the model is made for."""
    if model.descriptor.scale > 1:
        return imresize(photo, 1 / model.descriptor.scale)
    if "denoise" in model.name:
        noise = np.random.default_rng(0).normal(0, 25, photo.shape)
        return (photo + noise).round().clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))


def photos(folder: Path, scale: int, count: int) -> Iterator[Pixels]:
    """The first photos of which enough is left after the reduction, cut to multiples of the scale."""
    found = 0
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
            continue
        pixels = np.asarray(Image.open(path).convert("RGB"))
        height, width = (edge // scale * scale for edge in pixels.shape[:2])
        if min(height, width) < SMALLEST * scale:
            continue
        yield np.ascontiguousarray(pixels[:height, :width])
        found += 1
        if found == count:
            return


def psnr(a: Pixels, b: Pixels) -> float:
    """Of all channels together, in dB."""
    return float(10 * np.log10(255**2 / max(1e-9, np.square(a.astype(np.float64) - b).mean())))


def work(shape: tuple[int, ...], tiling: Settings) -> float:
    """Pixels that the network sees over those of the picture."""
    if not tiling.tile:
        return 1.0
    seen = 1.0
    for edge in shape[:2]:
        spans = tiles.plan(edge, tiling.tile, tiling.overlap, tiling.multiple)
        seen *= sum(span.stop - span.start for span in spans) / edge
    return seen


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--tiles", nargs="+", type=int, default=[256, 320])
    parser.add_argument("--overlaps", nargs="+", type=int, default=[4, 8, 16, 32, 64])
    parser.add_argument("--count", type=int, default=6)
    arguments = parser.parse_args()
    print("| model | tile | overlap | dB less than whole: median | worst | from whole, dB | pixels seen |")
    print("|---|---|---|---|---|---|---|")
    for name in arguments.models:
        model = load_model(name)
        whole = settings(model, 0, 0)
        tried: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
        for photo in photos(arguments.photos, whole.scale, arguments.count):
            given = degraded(photo, model)
            best = restore(given, model.network, whole)
            for tile in arguments.tiles:
                for overlap in arguments.overlaps:
                    tiling = replace(whole, tile=tile, overlap=overlap)
                    result = restore(given, model.network, tiling)
                    row = (psnr(best, photo) - psnr(result, photo), psnr(result, best), work(given.shape, tiling))
                    tried.setdefault((tile, overlap), []).append(row)
        for (tile, overlap), rows in tried.items():
            loss, close, seen = (list(column) for column in zip(*rows, strict=True))
            print(
                f"| {name} | {tile} | {overlap} | {statistics.median(loss):.4f} | {max(loss):.4f} "
                f"| {statistics.median(close):.1f} | {statistics.mean(seen):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
