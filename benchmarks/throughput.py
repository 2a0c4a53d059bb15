"""Small pictures in one call, against one call for each, against reading and writing them alone.

python -m benchmarks.throughput [--pictures 200] [--calls 5] [--rounds 3] [--json FILE]

The three take turns; medians of the rounds. ``--calls`` is how many of the calls for one picture are timed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import tiny
from mambair_cli.files.outputs import publish, reserved
from mambair_cli.images.decode import decode
from mambair_cli.images.encode import encode
from mambair_cli.images.picture import Picture


def seconds(work: Callable[[], None]) -> float:
    """Wall time."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def upscale(model: Path, inputs: list[str], output: Path) -> None:
    """One call of the command."""
    arguments = ["upscale", *inputs, "-o", f"{output}{os.sep}", "--model", str(model), "--quiet", "--overwrite"]
    subprocess.run([sys.executable, "-m", "mambair_cli", *arguments], stdout=subprocess.DEVNULL, check=True)


def one_by_one(model: Path, sources: list[Path], output: Path) -> None:
    """A call for each picture."""
    for source in sources:
        upscale(model, [str(source)], output)


def copy(sources: list[Path], output: Path) -> None:
    """Read each picture, and write one of the size of its result."""
    for source in sources:
        picture = decode(source)
        target = output / source.name
        with reserved(target) as temporary:
            large = Picture(picture.pixels.repeat(2, 0).repeat(2, 1), picture.metadata)
            publish(temporary, target, encode(large, ".png"), overwrite=True)


def main() -> None:
    """Print a table, and write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, sources = tiny.model(folder), tiny.pictures(folder / "in", arguments.pictures, 120, 160)
        calls = sources[: arguments.calls]
        ways: dict[str, tuple[int, Callable[[], None]]] = {
            "one call": (len(sources), lambda: upscale(model, [str(folder / "in")], folder / "out")),
            "start": (1, lambda: upscale(model, [str(sources[0])], folder / "first")),
            "a call each": (len(calls), lambda: one_by_one(model, calls, folder / "each")),
            "read and write": (len(sources), lambda: copy(sources, folder / "copies")),
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(arguments.rounds):
            for way, (count, work) in ways.items():
                taken[way].append(seconds(work) / count)
    each = {way: statistics.median(times) for way, times in taken.items()}
    each["one call, without its start"] = each["one call"] - each.pop("start") / len(sources)
    print(f"{'':28} {'ms/picture':>10} {'ratio':>8}")
    for way, time_taken in each.items():
        print(f"{way:28} {1e3 * time_taken:10.1f} {time_taken / each['one call']:8.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"pictures": len(sources), "seconds": each}, indent=1))


if __name__ == "__main__":
    main()
