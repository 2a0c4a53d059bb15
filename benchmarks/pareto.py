"""Draws quality against time of public small networks and of ours.

python -m benchmarks.pareto OUT.svg   (needs matplotlib)

Scores are of Set5 x4 (Y channel, border 4), seconds of a megapixel of input at 256 x 256. Those of public networks and
of the first mambair-nano-x4 (commit a4ee311) were measured in one run on a quiet AMD EPYC with AVX2, two threads. What
ships now was measured against a4ee311's network in one interleaved run (an Intel Xeon with AVX-512, one thread), and
stands at that share of its time.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt  # type: ignore[import-not-found, unused-ignore]

FIRST = 6.0  # seconds per megapixel of a4ee311's nano
PUBLIC = {
    "IESRNet": (2.0, 31.91),
    "DIPNet-slim": (2.2, 32.04),
    "EECNet": (2.7, 32.05),
    "SAFMNv3": (3.5, 32.03),
    "EFDN": (4.3, 32.08),
    "RLFN-S": (5.8, 32.24),
    "MoASR": (8.1, 32.19),
    "IMDN": (10.7, 32.21),
    "MambaIRv2-light (in mambair)": (43.9, 32.52),
}
OURS = {
    "mambair-nano-x4 of a4ee311": (FIRST, 30.94),
    "mambair-nano-x4": (0.61 * FIRST, 31.82),
    "mambair-small-x4": (0.61 * 2.8 * FIRST, 31.88),
}


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for label, points, colour in (("public", PUBLIC, "tab:gray"), ("mambair", OURS, "tab:red")):
        axes.scatter(*zip(*points.values(), strict=True), label=label, color=colour)
        for name, (seconds, score) in points.items():
            right = seconds > 20
            axes.annotate(
                name, (seconds, score), (-5 if right else 5, 4), textcoords="offset points",
                fontsize=8, ha="right" if right else "left",
            )  # fmt: skip
    axes.set(xscale="log", xlabel="seconds per megapixel of input, 256 x 256", ylabel="Set5 x4, dB")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(parser.parse_args().output, metadata={"Date": None})


if __name__ == "__main__":
    main()
