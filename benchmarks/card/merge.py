"""Averages what replicas of a run have learnt, each on a core of its own, so that all go on from their mean.

python -m benchmarks.card.merge NAME FOLDER FOLDER…

Stop the replicas, merge, start them again with other seeds: a few times an hour, and once after the end, when starting
one again writes the weights of the mean. Local steps with rare averages: arXiv 1808.07217.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .sources import replace_file


def mean(values: list[Any]) -> Any:
    """Of tensors and fractions in equal nests of lists and dicts; of whole numbers the largest; else the first."""
    first = values[0]
    if isinstance(first, dict):
        return {key: mean([value[key] for value in values]) for key in first}
    if isinstance(first, list):
        return [mean(list(parts)) for parts in zip(*values, strict=True)]
    if isinstance(first, Tensor) and first.is_floating_point():
        return torch.stack(values).mean(0)
    if isinstance(first, float):
        return sum(values) / len(values)
    return max(values) if isinstance(first, int) else first


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the run")
    parser.add_argument("folders", type=Path, nargs="+", help="OUT of every replica")
    given = parser.parse_args()
    files = [folder / f"{given.name}.state" for folder in given.folders]
    merged = mean([torch.load(file, weights_only=True) for file in files])
    for file in files:
        replace_file(merged, file)
    print(f"{len(files)} replicas of {given.name} at {merged['count']} steps")


if __name__ == "__main__":
    main()
