"""The curves of training runs as one picture: loss and validation over the steps, a column for each run.

python -m benchmarks.curve OUT.svg docs/training/NAME.jsonl ...   (needs matplotlib)
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt  # type: ignore[import-not-found, unused-ignore]


def draw(log: Path, above: Any, below: Any) -> None:
    """The loss above, every validation score below."""
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    losses = [row for row in rows if "l_pix" in row]
    above.plot([row["iter"] for row in losses], [row["l_pix"] for row in losses])
    above.set(title=log.stem)
    if min((row["l_pix"] for row in losses), default=0) > 0:  # a loss in dB is not
        above.set(yscale="log")
    for name in sorted({key for row in rows for key in row if "/" in key}):
        scores = [row for row in rows if name in row]
        below.plot([row["iter"] for row in scores], [row[name] for row in scores], marker=".", label=name)
    below.set(xlabel="step")
    below.legend()


def main() -> None:
    """Draw all runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("logs", type=Path, nargs="+")
    arguments = parser.parse_args()
    count = len(arguments.logs)
    figure, axes = plt.subplots(2, count, sharex="col", squeeze=False, figsize=(3 * count, 5), layout="constrained")
    for log, above, below in zip(arguments.logs, *axes, strict=True):
        draw(log, above, below)
    axes[0][0].set(ylabel="l_pix")
    axes[1][0].set(ylabel="dB")
    figure.savefig(arguments.output)


if __name__ == "__main__":
    main()
