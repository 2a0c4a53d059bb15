"""Vectors made with the authors' code of the other systems: cases, inputs, weights and expected outputs."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.golden import weights

FOLDER = Path(__file__).parents[1] / "golden" / "systems"
CASES: dict[str, dict[str, Any]] = json.loads(gzip.decompress((FOLDER / "index.json.gz").read_bytes()))


def inputs(name: str) -> list[Tensor]:
    return [getattr(weights, each["function"])(*each["arguments"]) for each in CASES[name]["input"]]


def outputs(name: str) -> list[Tensor]:
    arrays = np.load(FOLDER / f"{name}.npz")
    return [torch.from_numpy(arrays[key]) for key in sorted(arrays)]


def fill(name: str, network: nn.Module) -> None:
    """Golden values for all tensors; those that are listed under several names are those of the first."""
    case = CASES[name]
    filled = weights.fill(network.state_dict(), **case["fill"])
    for group in case.get("shared", []):
        for key in group[1:]:
            if key in filled:
                filled[key] = filled[group[0]]
    network.load_state_dict(filled)


def keys(network: nn.Module) -> dict[str, list[int]]:
    return {key: list(value.shape) for key, value in network.state_dict().items()}


def expected_keys(name: str) -> dict[str, list[int]]:
    return {key: value[0] for key, value in CASES[name]["state_dict"].items()}


def assert_equal(name: str, network: nn.Module, found: list[Tensor]) -> None:
    """Keys, parameters and outputs are those of the vector ``name``."""
    case = CASES[name]
    assert keys(network) == expected_keys(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == case["parameters"]
    expected = outputs(name)
    assert [each.shape for each in found] == [each.shape for each in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.numpy(), rtol=0, atol=case["tolerance"])
