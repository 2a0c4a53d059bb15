"""Mutated pictures and weights through the commands: no unexpected error, no file left over, bounded time and memory.

python -m benchmarks.fuzz weights|pictures SEEDS... [--count 2000] [--first 0] [--keep FOLDER]

SEEDS are files, or folders of them. Each mutant is a seed with bytes flipped, cut out, repeated, filled or cut off, by
a random state that is its number, so that any can be made again. Of archives (torch's weights), every other mutant has
the accidents in one member and fitting checksums, so that they reach what unpacks it. A hundred share a process, which
is watched; mutants that break a promise are printed, and kept on request.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SECONDS, BYTES = 10, 2 << 30
TOGETHER = 100


def mutant(seed: bytes, number: int) -> bytes:
    """A seed, or a member of an archive, after one to six accidents."""
    rng, source = np.random.default_rng(number), io.BytesIO(seed)
    if rng.random() < 0.5 or not zipfile.is_zipfile(source):
        return damaged(seed, rng)
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target := io.BytesIO(), "w") as repacked:
        names = archive.namelist()
        pickled = [name for name in names if name.endswith("data.pkl")] if rng.random() < 0.7 else []
        hit = rng.choice(pickled or names)
        for name in names:
            content = archive.read(name)
            repacked.writestr(name, damaged(content, rng) if name == hit else content)
    return target.getvalue()


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes after one to six accidents."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 7)):
        if not data:
            break
        start = int(rng.integers(len(data)) if rng.random() < 0.5 else rng.integers(min(len(data), 512)))
        length = int(rng.integers(1, 17))
        match rng.integers(5):
            case 0:
                data[start] ^= 1 << int(rng.integers(8))
            case 1:
                del data[start : start + length]
            case 2:
                data[start:start] = data[start : start + length]
            case 3:
                data[start : start + length] = bytes([int(rng.choice([0, 1, 127, 128, 255]))]) * length
            case _:
                del data[int(rng.integers(len(data) // 2, len(data))) :]
    return bytes(data)


def tried(kind: str, files: list[Path]) -> Iterator[dict[str, object]]:
    """Run in a process of its own: what the command made of each file."""
    import torch
    from typer.testing import CliRunner

    from mambair_archs import MambaIRNano
    from mambair_cli.app import app

    torch.set_num_threads(1)
    folder = files[0].parent
    model = folder / "model.pt"
    torch.save(MambaIRNano(upscale=1, embed_dim=4, depth=1, scan_after=(1,), scan_dim=4, d_state=1).state_dict(), model)
    for file in files:
        out = folder / "out.png"
        command = {
            "weights": ["models", "show", str(file)],
            "pictures": ["denoise", str(file), "-o", str(out), "--model", str(model), "--json", "--overwrite"],
        }[kind]
        before, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcome = CliRunner().invoke(app, command)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) << 10
        out.unlink(missing_ok=True)
        faults = [
            name
            for name, broken in {
                "unexpected": "nexpected" in outcome.stderr or outcome.exit_code not in (0, 1, 2),
                "slow": time.process_time() - before > SECONDS,
                "large": grown > BYTES,
                "left over": {each.name for each in folder.iterdir()} - {each.name for each in files} - {model.name},
            }.items()
            if broken
        ]
        yield {"file": file.name, "code": outcome.exit_code, "faults": faults, "said": outcome.stderr[-300:]}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("weights", "pictures"))
    parser.add_argument("seeds", nargs="+", type=Path)
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
    totals: Counter[str] = Counter()
    for start in range(arguments.first, arguments.first + arguments.count, TOGETHER):
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number in range(start, min(start + TOGETHER, arguments.first + arguments.count)):
                seed = seeds[number % len(seeds)]
                files.append(Path(folder, f"{number}{seed.suffix}"))
                files[-1].write_bytes(mutant(seed.read_bytes(), number))
            command = [sys.executable, "-m", "benchmarks.fuzz", arguments.kind, *map(str, files), "--child"]
            done = subprocess.run(command, capture_output=True, text=True)
            rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            if len(rows) < len(files):
                culprit = files[len(rows)].name
                rows.append({"file": culprit, "code": done.returncode, "faults": ["crash"], "said": done.stderr[-300:]})
            elif done.stderr:  # what decoders print by themselves
                rows.append({"file": files[0].name, "code": 0, "faults": ["printed"], "said": done.stderr[-300:]})
            for row in rows:
                totals.update([f"exit {row['code']}", *row["faults"]])
                if row["faults"]:
                    print(row, flush=True)
                    if arguments.keep:
                        arguments.keep.mkdir(parents=True, exist_ok=True)
                        (arguments.keep / row["file"]).write_bytes(Path(folder, row["file"]).read_bytes())
    print(dict(totals))


if __name__ == "__main__":
    main()
