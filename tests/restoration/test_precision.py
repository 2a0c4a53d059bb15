"""Half precision: what runs in it, and what happens when it fails."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mambair_archs import MambaIR, MambaIRUNet, MambaIRv2Light, identify
from mambair_cli.errors import NumericalError, UsageError
from mambair_cli.restoration.engine import Report, Settings, restore
from mambair_cli.restoration.precision import dtype, mixed, precision_notes
from tests.conftest import TINY, TINY_V2

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
WEIGHT = torch.full((3, 3, 1, 1), 0.25)


class Recorder:
    """A convolution that notes in which type it computed; ``overflow`` makes 3 x 60000 of white before."""

    def __init__(self, overflow: float = 0.0) -> None:
        self.overflow = overflow
        self.types: list[torch.dtype] = []

    def __call__(self, x: Tensor) -> Tensor:
        y = F.conv2d(x, WEIGHT)
        self.types.append(y.dtype)
        if self.overflow:
            large = F.conv2d(torch.full_like(x, self.overflow) * (x > 0.9), torch.ones(3, 3, 1, 1))
            y = y + (large - large)
        return y


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_the_network_computes_in_half_precision_and_the_result_is_single(name: str) -> None:
    report, network, x = Report(), Recorder(), torch.rand(1, 3, 4, 4)
    y = mixed(network, name, report)(x)
    assert (y.dtype, network.types, report.notes) == (torch.float32, [dtype(name)], [])
    torch.testing.assert_close(y, F.conv2d(x, WEIGHT), rtol=2**-7, atol=0)


def test_full_precision_is_the_network_itself() -> None:
    network = Recorder()
    assert mixed(network, "fp32", Report()) is network
    with pytest.raises(UsageError, match="no precision 'fp8'"):
        mixed(network, "fp8", Report())


def test_what_overflows_is_redone_in_full_precision_with_all_that_follows() -> None:
    report, network = Report(), Recorder(overflow=60000.0)
    pixels = np.full((8, 32, 3), 100, np.uint8)
    pixels[:, 20] = 255
    tiling = Settings(scale=1, channels=3, tile=8)
    found = restore(pixels, mixed(network, "fp16", report), tiling)
    half, single = torch.float16, torch.float32
    assert network.types == [half, half, half, single, single]
    assert report.notes == ["fp16 gave values that are not numbers, redone in fp32"]
    assert np.array_equal(found, restore(pixels, Recorder(), tiling))


def test_what_fails_in_full_precision_too_is_an_error() -> None:
    network = Recorder(overflow=3e38)
    with pytest.raises(NumericalError):
        restore(
            np.full((4, 4, 3), 255, np.uint8), mixed(network, "bf16", Report()), Settings(scale=1, channels=3, tile=0)
        )


def test_a_picture_starts_in_half_precision_again() -> None:
    network = Recorder(overflow=60000.0)
    for _ in range(2):
        report = Report()
        mixed(network, "fp16", report)(torch.ones(1, 3, 2, 2))
        assert len(report.notes) == 1


@pytest.mark.parametrize("name", ["bf16", "fp16"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, GPU])])
@pytest.mark.parametrize(
    "network",
    [MambaIR(**TINY), MambaIRv2Light(**TINY_V2), MambaIRUNet(dim=30, num_blocks=(1, 1, 1, 1), d_state=2)],
    ids=lambda network: type(network).__name__,
)
def test_networks_stay_close(network: torch.nn.Module, name: str, device: str) -> None:
    x, report = torch.rand(1, 3, 16, 16, device=device), Report()
    with torch.inference_mode():
        exact, close = network.to(device).eval()(x), mixed(network, name, report)(x)
    assert close.dtype == torch.float32
    assert report.notes == []
    assert 0 < (close - exact).abs().max() < 0.03


def test_concerns() -> None:
    large = identify(MambaIR(upscale=1, embed_dim=120, depths=(1,)).state_dict()).descriptor
    small = identify(MambaIR(**TINY).state_dict()).descriptor
    byte, word = np.dtype(np.uint8), np.dtype(np.uint16)
    notes = [precision_notes(*of) for of in ((small, "fp16", word), (large, "bf16", byte), (large, "fp32", word))]
    assert notes == [[], [], []]
    assert precision_notes(large, "fp16", byte) == [
        "fp16 was never tried with trained weights of this network, compare with fp32"
    ]
    assert precision_notes(small, "bf16", word) == ["bf16 computes with 8 bits, finer steps of the picture are lost"]
