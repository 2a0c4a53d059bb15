"""Eight symmetries: what they leave alone, what they commute with, and how they go with tiles."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mambair_archs import MambaIR
from mambair_cli.restoration.engine import Network, Settings, restore
from mambair_cli.restoration.ensemble import ensemble
from tests.conftest import TINY
from tests.restoration.stubs import pointwise

TURNS = [(turns, mirrored) for turns in range(4) for mirrored in (False, True)]


def turned(x: Tensor, turns: int, mirrored: bool) -> Tensor:
    y = torch.rot90(x, turns, (2, 3))
    return y.flip(3) if mirrored else y


def blur(x: Tensor) -> Tensor:
    """Symmetric, with sums of multiples of 1/16 of bytes, so that no order of them matters."""
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    values = (x * 255).round()
    return F.conv2d(values.transpose(0, 1), kernel[None, None], padding=1).transpose(0, 1)


def leaning(scale: int) -> Network:
    """A network that looks to the lower right only, and is not linear."""
    kernel = torch.rand(3 * scale**2, 3, 4, 3, generator=torch.Generator().manual_seed(0)) - 0.5

    def run(x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.conv2d(F.pad(x, (0, 2, 0, 3)), kernel).tanh(), scale)

    return run


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
def test_a_symmetric_network_gives_what_it_gives_alone(height: int, width: int, scale: int) -> None:
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    for network in (pointwise(scale), blur):
        assert torch.equal(ensemble(network)(x), network(x))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 3), st.sampled_from(TURNS))
def test_turning_the_input_turns_the_output(height: int, width: int, scale: int, turn: tuple[int, bool]) -> None:
    x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * 100 + width))
    network = leaning(scale)
    averaged = ensemble(network)
    assert torch.equal(averaged(turned(x, *turn)), turned(averaged(x), *turn))
    if turn != (0, False) and min(height, width) > 1:
        assert not torch.equal(network(turned(x, *turn)), turned(network(x), *turn))


def test_it_is_the_mean_of_the_eight_results_turned_back() -> None:
    x, network = torch.rand(2, 3, 5, 8), leaning(2)
    results = []
    for turns, mirrored in TURNS:
        y = network(turned(x, turns, mirrored))
        results.append(torch.rot90(y.flip(3) if mirrored else y, -turns, (2, 3)))
    torch.testing.assert_close(ensemble(network)(x), torch.stack(results).mean(0), rtol=0, atol=1e-6)


def test_a_real_network_turns_with_its_input() -> None:
    network = MambaIR(**TINY).eval()
    x = torch.rand(1, 3, 9, 12)
    averaged = ensemble(network)
    with torch.inference_mode():
        for turn in TURNS:
            torch.testing.assert_close(averaged(turned(x, *turn)), turned(averaged(x), *turn), rtol=0, atol=1e-6)
        assert (network(turned(x, 1, False)) - turned(network(x), 1, False)).abs().max() > 1e-4


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_it_works_tile_by_tile(channels: int, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 65536, (70, 50, channels), np.uint16)
    seen: list[Any] = []

    def network(x: Tensor) -> Tensor:
        seen.append(x.shape[2:])
        return pointwise(2)(x)

    tiling = Settings(scale=2, channels=3, tile=32, overlap=8)
    assert np.array_equal(restore(pixels, ensemble(network), tiling), restore(pixels, pointwise(2), tiling))
    assert max(max(shape) for shape in seen) <= 32
    assert len(seen) == 8 * 3 * 2
