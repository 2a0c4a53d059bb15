"""Mutated pictures and weights through the commands: no unexpected error, no file left over, bounded time and memory.

python -m benchmarks.fuzz weights|pictures SEEDS... [--count 2000] [--first 0] [--keep FOLDER]
python -m benchmarks.fuzz directories [--count 4000] [--first 0] [--keep FOLDER]

SEEDS are files, or folders of them. Each mutant is a seed after a few accidents, by a random state that is its number,
so that any can be made again; TIFF files with directories that are put together at random need none. Hundreds share a
process, which is watched; those that break a promise are printed, and kept on request.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .directories import directory
from .mutants import mutant

SECONDS, BYTES = 10, 2 << 30
TOGETHER = 500


def tried(kind: str, files: list[Path]) -> Iterator[dict[str, Any]]:
    """Run in a process of its own: what the command made of each file."""
    import torch
    from typer.testing import CliRunner

    from mambair_archs import MambaIRNano
    from mambair_cli.app import app

    torch.set_num_threads(1)
    folder, scratch = files[0].parent, Path(tempfile.gettempdir())
    model = folder / "model.pt"
    torch.save(MambaIRNano(upscale=1, embed_dim=4, depth=1, scan_after=(1,), scan_dim=4, d_state=1).state_dict(), model)
    peak = first = _peak()
    for file in files:
        out = folder / "out.png"
        restoring = ["denoise", str(file), "-o", str(out), "--model", str(model), "--json", "--overwrite"]
        command = ["models", "show", str(file)] if kind == "weights" else restoring
        before, lower = time.process_time(), peak
        outcome = CliRunner().invoke(app, command)
        seconds = time.process_time() - before
        peak = _peak()
        out.unlink(missing_ok=True)
        others = {each.name for each in folder.iterdir()} - {each.name for each in files} - {model.name}
        faults = [
            name
            for name, broken in {
                "unexpected": "nexpected" in outcome.stderr or outcome.exit_code not in (0, 1, 2),
                "slow": seconds > SECONDS,
                "large": peak > lower and peak - first > BYTES,
                "left over": others or any(scratch.iterdir()),
            }.items()
            if broken
        ]
        yield {
            "file": file.name,
            "code": outcome.exit_code,
            "faults": faults,
            "said": outcome.stderr[-300:],
            "seconds": seconds,
            "bytes": peak - first,
        }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def watched(kind: str, files: list[Path]) -> list[dict[str, Any]]:
    """The same in a process that may die, with what it printed by itself."""
    command = [sys.executable, "-m", "benchmarks.fuzz", kind, *map(str, files), "--child"]
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as caches:
        places = {"TMPDIR": scratch, "TORCHINDUCTOR_CACHE_DIR": caches}
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | places)
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if len(rows) < len(files):
        culprit = files[len(rows)].name
        rows.append({"file": culprit, "code": done.returncode, "faults": ["crash"], "said": done.stderr[-300:]})
    elif done.stderr:  # what decoders print by themselves
        rows.append({"file": files[0].name, "code": 0, "faults": ["printed"], "said": done.stderr[-300:]})
    return rows


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("weights", "pictures", "directories"))
    parser.add_argument("seeds", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        for outcome in tried(arguments.kind, arguments.seeds):
            print(json.dumps(outcome), flush=True)
        return
    seeds = sorted(f for s in arguments.seeds for f in (s.iterdir() if s.is_dir() else [s]) if f.is_file())
    if (arguments.kind == "directories") == bool(seeds):
        parser.error("give seeds for pictures and weights, and none for directories")
    totals: Counter[str] = Counter()
    slowest = largest = 0.0
    stop = arguments.first + arguments.count
    for start in range(arguments.first, stop, TOGETHER):
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number in range(start, min(start + TOGETHER, stop)):
                seed = seeds[number % len(seeds)] if seeds else None
                files.append(Path(folder, f"{number}{seed.suffix if seed else '.tif'}"))
                files[-1].write_bytes(mutant(seed.read_bytes(), number) if seed else directory(number))
            for row in watched(arguments.kind, files):
                totals.update([f"exit {row['code']}", *row["faults"]])
                slowest = max(slowest, row.get("seconds", 0))
                largest = max(largest, row.get("bytes", 0))
                if row["faults"]:
                    print(row, flush=True)
                    if arguments.keep:
                        arguments.keep.mkdir(parents=True, exist_ok=True)
                        (arguments.keep / row["file"]).write_bytes(Path(folder, row["file"]).read_bytes())
    print(f"{dict(totals)}, at most {slowest:.1f} s of processor time and {largest / 2**20:.0f} MiB more memory")


if __name__ == "__main__":
    main()
