"""Peak memory of pictures larger than memory: x2 in bands, by a network that repeats pixels, per height and format.

python -m benchmarks.large [--width 12000] [--heights 1 3000 9000] [--suffixes .png .tif] [--in-memory] [--json FILE]

Every picture is made band by band and restored in a process of its own, whose peak resident set is printed, beside the
size of the decoded result. ``--in-memory`` measures the route of smaller pictures, and its prediction, instead.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mambair_archs import MambaIR
from mambair_cli.images import band_writer
from mambair_cli.images.picture import Metadata

SCALE = 2
BAND = 64


class Repeat(nn.Module):
    """Every pixel twice in both directions."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 3, h, w) to (batch, 3, 2 h, 2 w)."""
        return x.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3)


def make(path: Path, width: int, height: int) -> None:
    """A picture that compresses about as well as a photo: a slope with noise in the lowest bits."""
    rng = np.random.default_rng(0)
    wanted = band_writer.Format(
        suffix=path.suffix,
        shape=(height, width, 3),
        dtype=np.dtype(np.uint8),
        metadata=Metadata(),
    )
    slope = (np.arange(width) * 200 // width).astype(np.uint8)[None, :, None]
    with band_writer.writing(path, wanted) as write:
        for row in range(0, height, BAND):
            write(slope + rng.integers(0, 16, (min(BAND, height - row), width, 3), np.uint8))


def restore(source: Path, weights: Path, in_memory: bool) -> dict[str, Any]:
    """Restore one file in this process; what it took."""
    from mambair_cli.images.decode import decode
    from mambair_cli.images.encode import encode
    from mambair_cli.images.picture import Picture
    from mambair_cli.restoration import footprint, memory, prepared, stream
    from mambair_cli.restoration.choices import Choices
    from mambair_cli.weights.loader import load

    target, cpu = source.with_name(f"result{source.suffix}"), torch.device("cpu")
    loaded = replace(load(weights, "cpu"), network=Repeat())
    memory.keep_freed_memory()  # as the commands do
    memory.forget_peak(cpu)
    before, started = memory.peak(cpu), time.perf_counter()
    if in_memory:
        picture = decode(source)
        pixels = prepared.restore(picture.pixels, loaded, Choices())
        target.write_bytes(encode(Picture(pixels, picture.metadata), target.suffix))
    else:
        stream.restore_file(source, target, target, loaded, Choices())
    peak = memory.peak(cpu)
    head = footprint.header(source)
    assert head is not None
    return {
        "seconds": time.perf_counter() - started,
        "before": before,
        "peak": peak,
        "predicted": footprint.in_memory(head, SCALE, target.suffix),
        "file": target.stat().st_size,
    }


def measure(folder: Path, suffix: str, width: int, height: int, in_memory: bool) -> dict[str, Any]:
    """One picture, in a fresh process."""
    source, weights = folder / f"source{suffix}", folder / "x2.pth"
    torch.save(
        {"params": MambaIR(upscale=SCALE, embed_dim=30, depths=(1,), upsampler="pixelshuffledirect").state_dict()},
        weights,
    )
    make(source, width, height)
    command = [sys.executable, "-m", "benchmarks.large", "--restore", str(source), str(weights), str(int(in_memory))]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {"suffix": suffix, "width": width, "height": height, **json.loads(output)}


def main() -> None:
    """Print a table, and write JSON on request."""
    if sys.argv[1:2] == ["--restore"]:
        print(json.dumps(restore(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "1")))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=12000)
    parser.add_argument("--heights", type=int, nargs="+", default=[1, 3000, 9000])
    parser.add_argument("--suffixes", nargs="+", default=[".png", ".tif"])
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--folder", type=Path, help="Where to put the files. Default: the system's temporary folder.")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    print("format  width height  result MiB  before MiB  peak MiB  predicted MiB  seconds")
    for suffix in arguments.suffixes:
        for height in arguments.heights:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                row = measure(Path(folder), suffix, arguments.width, height, arguments.in_memory)
            result = row["width"] * row["height"] * SCALE * SCALE * 3
            print(
                f"{suffix:6} {row['width']:6} {height:6} {result >> 20:11} {row['before'] >> 20:11}"
                f" {row['peak'] >> 20:9} {row['predicted'] >> 20:14} {row['seconds']:8.1f}",
                flush=True,
            )
            rows.append(row)
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
