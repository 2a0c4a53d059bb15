"""A folder of pictures, some of them broken, killed again and again and resumed: is the result that of a calm run?

python -m benchmarks.interrupted [--pictures 500] [--broken 20] [--kills 10] [--devices cpu]

Prints what was found, and ends with 1 if any promise was broken.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import tiny
from mambair_cli.images.decode import decode
from mambair_cli.restoration.record import NAME


def command(folder: Path, output: str, devices: str, *options: str) -> list[str]:
    """The command line of one run."""
    files = [str(folder / "in"), "-o", str(folder / output), "--model", str(folder / "tiny.safetensors")]
    return [sys.executable, "-m", "mambair_cli", "upscale", *files, "--json", "--device", devices, *options]


def kill_at_random(arguments: list[str], rng: random.Random, most: int) -> int:
    """Kill a run after a random number of results that it made itself, and a moment; returns that number."""
    wanted, made = rng.randint(1, most), 0
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            record = json.loads(line)
            made += not record["skipped"] and record["error"] is None
            if made >= wanted:
                time.sleep(rng.random() / 20)
                break
        process.kill()
    return made


def results(folder: Path) -> dict[str, bytes]:
    """Everything but records, by its path."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def check(folder: Path, broken: list[Path], last: "subprocess.CompletedProcess[str]") -> list[str]:
    """The promises that were broken."""
    calm, found = results(folder / "calm"), results(folder / "out")
    failed = {json.loads(line)["input"] for line in last.stdout.splitlines() if json.loads(line)["error"]}
    promises = {
        f"exit code 1, not {last.returncode}": last.returncode == 1,
        f"{len(broken)} broken pictures named, not {len(failed)}": failed == {str(path) for path in broken},
        "all named in the last message": all(str(path) in last.stderr for path in broken),
        f"{len(calm)} results, not {len(found)}": found.keys() == calm.keys(),
        "results equal to those of the calm run": found == calm,
        "results valid": all(decode(folder / "out" / name).pixels.any() for name in found),
        "no temporary file or lock": not list((folder / "out").rglob(".mambair-*")),
    }
    return [promise for promise, kept in promises.items() if not kept]


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--devices", default="cpu")
    arguments = parser.parse_args()
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny.model(folder)
        broken = rng.sample(tiny.pictures(folder / "in", arguments.pictures, 40, 50), arguments.broken)
        for path in broken:
            path.write_bytes(path.read_bytes()[: rng.choice([0, 8, 40, 100])])
        subprocess.run(command(folder, "calm", "cpu"), capture_output=True, check=False)
        again = command(folder, "out", arguments.devices, "--resume")
        share = 3 * arguments.pictures // (2 * arguments.kills + 2)
        made, left = [], []
        for _ in range(arguments.kills):
            made.append(kill_at_random(again, rng, share))
            left.append(len(list((folder / "out").rglob(".mambair-*"))))
        print(f"results before each kill: {made}; temporary files and locks after it: {left}")
        last = subprocess.run(again, capture_output=True, text=True, check=False)
        skipped = sum(json.loads(line)["skipped"] for line in last.stdout.splitlines())
        print(f"the last run skipped {skipped} results")
        lies = check(folder, broken, last)
    print("\n".join(f"BROKEN PROMISE: {lie}" for lie in lies) or "every promise kept")
    return bool(lies)


if __name__ == "__main__":
    sys.exit(main())
