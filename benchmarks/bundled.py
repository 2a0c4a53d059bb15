"""Seconds per megapixel of input of every model that ships, beside MambaIR-light, on all cores.

python -m benchmarks.bundled [--edge 512] [--rounds 5] [--json FILE]

All models take turns in one process on the same noise; medians. Times are those of whole restorations in memory, tiles
and rounding included. MambaIR-light has weights of its initialisation, which make no difference to its speed.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mambair_archs import MambaIR, registry
from mambair_cli import load_model, restore
from mambair_cli.restoration.engine import Settings
from mambair_cli.restoration.engine import restore as restore_with
from mambair_cli.restoration.memory import keep_freed_memory
from mambair_cli.restoration.model import DEFAULT_OVERLAP
from mambair_cli.weights import catalog

LIGHT: dict[str, Any] = {"d_state": 10, "mlp_ratio": 1.2, "upsampler": "pixelshuffledirect"}


def main() -> None:
    """Print a table, and write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    keep_freed_memory()
    pixels = np.random.default_rng(0).integers(0, 256, (arguments.edge, arguments.edge, 3), np.uint8)
    works: dict[str, Any] = {}
    for scale in (2, 3, 4):
        network = MambaIR(upscale=scale, **LIGHT).eval()
        tile = registry.get("MambaIR").describe(network.config).tile
        settings = Settings(scale=scale, channels=3, tile=tile, overlap=DEFAULT_OVERLAP)
        works[f"MambaIR-light x{scale}"] = lambda n=network, s=settings: restore_with(pixels, n, s)
    scales: dict[str, int] = {}
    for entry in catalog.entries():
        if entry.bundled:
            model = load_model(entry.name, "cpu")
            works[entry.name] = lambda m=model: restore(pixels, m)
            scales[entry.name] = entry.scale
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(arguments.rounds + 1):  # the first is for warming up
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    rows = {}
    for name, values in seconds.items():
        per_pixel = statistics.median(values) / arguments.edge**2 * 1e6
        light = statistics.median(seconds.get(f"MambaIR-light x{scales.get(name, 0)}", values))
        rows[name] = {"seconds_per_megapixel": round(per_pixel, 3), "of_light": statistics.median(values) / light}
        beside = f", {rows[name]['of_light']:.3f} of light" if scales.get(name, 1) > 1 else ""
        print(f"{name:22} {per_pixel:7.2f} s/Mpx{beside}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": torch.get_num_threads(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
