"""The curves of a training run as a picture: loss and validation over the steps.

python -m benchmarks.curve experiments/NAME/log.jsonl OUT.svg   (needs matplotlib)
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt  # type: ignore[import-not-found, unused-ignore]


def main() -> None:
    """Draw the loss above, every validation score below."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.log.read_text(encoding="utf-8").splitlines()]
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(7, 5), layout="constrained")
    losses = [row for row in rows if "l_pix" in row]
    above.plot([row["iter"] for row in losses], [row["l_pix"] for row in losses])
    above.set(ylabel="l_pix", yscale="log")
    for name in sorted({key for row in rows for key in row if "/" in key}):
        scores = [row for row in rows if name in row]
        below.plot([row["iter"] for row in scores], [row[name] for row in scores], marker=".", label=name)
    below.set(xlabel="step", ylabel="dB")
    below.legend()
    figure.savefig(arguments.output)


if __name__ == "__main__":
    main()
