"""MambaIR on squares of pixels taken as channels: sizes, borders, gradients and what it saves."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mambair_archs import MambaIR, complexity, identify
from mambair_kernels import dispatch
from mambair_kernels.cpu import native
from tests.conftest import TINY

OPTIONS: dict[str, Any] = TINY | {"upscale": 1, "upsampler": "", "unshuffle": 2, "drop_path_rate": 0.0}


@pytest.fixture
def network() -> MambaIR:
    """With weights in the last layer, which starts at zero."""
    torch.manual_seed(0)
    made = MambaIR(**OPTIONS).eval()
    for parameter in made.get_submodule("conv_last").parameters():
        nn.init.normal_(parameter, std=0.05)
    return made


@pytest.mark.parametrize("height", range(1, 10))
@pytest.mark.parametrize("width", range(1, 10))
def test_an_odd_size_is_the_corner_of_its_mirrored_continuation(network: MambaIR, height: int, width: int) -> None:
    x = torch.rand(1, 3, height, width)
    bottom, right = height % 2, width % 2
    wide = torch.cat([x, x[:, :, max(height - 2, 0)][:, :, None]], dim=2) if bottom else x
    wide = torch.cat([wide, wide[:, :, :, max(width - 2, 0)][..., None]], dim=3) if right else wide
    with torch.inference_mode():
        torch.testing.assert_close(network(x), network(wide)[:, :, :height, :width], rtol=0, atol=1e-6)


def test_it_starts_from_the_input(network: MambaIR) -> None:
    x = torch.rand(2, 3, 7, 10)
    with torch.inference_mode():
        torch.testing.assert_close(MambaIR(**OPTIONS)(x), x, rtol=0, atol=1e-6)
        assert (network(x) - x).abs().max() > 1e-2


def test_the_first_layer_sees_each_square_as_one_pixel(network: MambaIR) -> None:
    seen: list[Tensor] = []
    network.get_submodule("conv_first").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.rand(1, 3, 6, 4)
    with torch.inference_mode():
        network(x)
    assert seen[0].shape == (1, 3, 2, 12)
    square = (x - network.mean[:, None, None])[0, :, 2:4, 2:4]  # by the definition of ESPCN: channel, row, column
    torch.testing.assert_close(seen[0][0, 1, 1], square.reshape(-1))


def test_a_quarter_of_the_work() -> None:
    plain, small = (MambaIR(**OPTIONS | {"unshuffle": factor}) for factor in (1, 2))
    extra = 9 * 30 * (12 - 3) * 2 / 4  # both ends have four times the channels
    assert complexity.macs(small, 64, 64) == pytest.approx(complexity.macs(plain, 64, 64) / 4 + 64 * 64 * extra)
    assert complexity.macs(small, 63, 63) == complexity.macs(small, 64, 64)


def test_tiles_keep_to_the_grid_of_squares() -> None:
    descriptor = identify(MambaIR(**OPTIONS).state_dict()).descriptor
    assert (descriptor.scale, descriptor.size_multiple, descriptor.in_channels) == (1, 2, 3)
    assert descriptor.tasks == {"denoise", "dejpeg", "dehaze"}
    plain = identify(MambaIR(**OPTIONS | {"unshuffle": 1}).state_dict()).descriptor
    assert descriptor.bytes_per_pixel < plain.bytes_per_pixel / 3


@pytest.mark.skipif(not native.built(), reason="this installation has no native library")
def test_backends_give_the_same_gradients(network: MambaIR, monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = network.train(), torch.rand(2, 3, 9, 7)
    weights = torch.rand(2, 3, 9, 7) - 0.5
    found: list[dict[str, Tensor]] = []
    for backend in ("cpu", "chunked"):
        monkeypatch.setenv(dispatch.VARIABLE, backend)
        network.zero_grad()
        (network(x) * weights).sum().backward()
        found.append({name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys() == dict(network.named_parameters()).keys()
    assert np.mean([bool(gradient.any()) for gradient in found[0].values()]) > 0.8  # a rectifier may be off
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=2e-3, atol=2e-5, msg=name)
