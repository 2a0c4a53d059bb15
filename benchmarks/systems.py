"""Every network of the registry at its defaults: parameters, operations, seconds and memory per megapixel of input.

python -m benchmarks.systems [--edge 128] [--rounds 3] [--only NAME ...]

Each runs in a process of its own, as weights and operations of one network must not count for another; medians, the
first run warms up. Memory is the growth of the process's peak over the loaded network.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from mambair_archs import complexity, registry


def measured(name: str, edge: int, rounds: int) -> dict[str, Any]:
    """One row of the table."""
    torch.manual_seed(0)
    network = registry.get(name).network().eval()
    image = torch.rand(1, registry.get(name).describe(network.config).in_channels, edge, edge)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    with torch.inference_mode():
        for _ in range(rounds + 1):
            started = time.perf_counter()
            network(image)
            seconds.append(time.perf_counter() - started)
    return {
        "name": name,
        "parameters": complexity.parameters(network),
        "macs": complexity.macs(registry.get(name).network().to("meta"), edge, edge) / edge**2,
        "seconds": statistics.median(seconds[1:]) / edge**2 * 1e6,
        "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / edge**2,
    }


def main() -> None:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[row.name for row in registry.ARCHITECTURES])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measured(given.only[0], given.edge, given.rounds)))
        return
    print("| network | parameters | operations per pixel | s/Mpx | memory, KiB per pixel |\n|---|---|---|---|---|")
    for name in given.only:
        options = ["--edge", str(given.edge), "--rounds", str(given.rounds), "--only", name, "--child"]
        done = subprocess.run([sys.executable, "-m", "benchmarks.systems", *options], capture_output=True, text=True)
        if done.returncode:
            print(f"| {name} | {done.stderr.splitlines()[-1]} | | | |", flush=True)
            continue
        row = json.loads(done.stdout)
        print(
            f"| {name} | {row['parameters'] / 1e6:.2f} M | {row['macs'] / 1e3:.0f} k | {row['seconds']:.1f} "
            f"| {row['memory']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
