"""The dehazing network: its output form, the maps of coefficients, and large pictures in parts."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mambair_archs import MambaIRDehaze, complexity
from mambair_archs.blocks.coefficients import enlarged, lines, luma
from mambair_archs.network import Place, view_size

SMALL = {"dims": (8, 10, 12, 14), "num_blocks": (1, 1, 1), "num_decoder_blocks": (1, 1), "d_state": 2}


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def test_before_training_a_thin_even_haze_is_taken_away() -> None:
    x = torch.rand(2, 3, 37, 50)
    through, airlight, presence = 0.05 + 0.95 * sigmoid(2), sigmoid(2), sigmoid(2)
    with torch.inference_mode():
        clear = MambaIRDehaze(**SMALL)(x)
    torch.testing.assert_close(clear, x + presence * (x - airlight) * (1 / through - 1), rtol=0, atol=5e-5)


def test_a_picture_without_haze_stays_as_it_is() -> None:
    network = MambaIRDehaze(**SMALL).eval()
    with torch.inference_mode():
        network.get_parameter("presence.bias").fill_(-30)
        x = torch.rand(1, 3, 40, 52)
        torch.testing.assert_close(network(x), x, rtol=0, atol=1e-6)


def test_a_known_haze_is_undone_at_full_resolution() -> None:
    """A network that says t and A of a haze which is the same everywhere gives the clear picture."""
    network = MambaIRDehaze(**SMALL).eval()
    clear, through, airlight = torch.rand(1, 3, 700, 900), 0.4, torch.tensor([0.7, 0.8, 0.9])
    with torch.no_grad():
        bias = torch.cat([torch.tensor([(through - 0.05) / 0.95]), airlight]).logit()
        network.get_parameter("output.bias").copy_(bias)
        network.get_parameter("presence.bias").fill_(30)
        hazy = clear * through + airlight[:, None, None] * (1 - through)
        torch.testing.assert_close(network(hazy), clear, rtol=0, atol=2e-4)


def test_lines_are_those_of_the_guided_filter(rng: np.random.Generator) -> None:
    """Against the textbook's formula (He et al., arXiv 1505.00996) in OpenCV's filters and float64."""
    guide, maps = rng.random((20, 31)), rng.random((20, 31))

    def mean(x: np.ndarray) -> np.ndarray:
        ones = np.ones_like(x)
        kernel = {"ddepth": -1, "ksize": (5, 5), "normalize": False, "borderType": cv2.BORDER_CONSTANT}
        return np.asarray(cv2.boxFilter(x, **kernel) / cv2.boxFilter(ones, **kernel))  # type: ignore[call-overload]

    slope = (mean(guide * maps) - mean(guide) * mean(maps)) / (mean(guide**2) - mean(guide) ** 2 + 1e-2)
    expected = np.stack([mean(slope), mean(mean(maps) - slope * mean(guide))])
    found = lines(torch.from_numpy(maps)[None, None], torch.from_numpy(guide)[None, None], 2, 1e-2)[0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


def test_maps_that_follow_the_guide_do_so_at_every_pixel() -> None:
    """No halo: an edge that the coefficients share with the picture is as sharp as the picture's."""
    picture = torch.full((1, 3, 160, 160), 0.2)
    picture[..., 77:] = 0.8
    guide = F.adaptive_avg_pool2d(luma(picture), (20, 20))
    state = lines(3 - 2 * guide, guide, 2, 1e-5)
    grid = enlarged(state, (20, 20), Place(0, 0, 160, 160), 160, 160)
    torch.testing.assert_close(grid[:, :1] * luma(picture) + grid[:, 1:], 3 - 2 * luma(picture), rtol=0, atol=2e-2)


@pytest.mark.parametrize(
    ("cells", "size"), [((6, 9), (24, 72)), ((5, 4), (5, 4)), ((1, 1), (7, 3)), ((3, 8), (50, 61))]
)
def test_enlarging_is_bilinear(cells: tuple[int, int], size: tuple[int, int]) -> None:
    grid = torch.rand(2, 3, *cells, dtype=torch.float64)
    found = enlarged(grid, cells, Place(0, 0, *size), *size)
    torch.testing.assert_close(found, F.interpolate(grid, size, mode="bilinear", align_corners=False))


def test_enlarging_a_region_is_cutting_it_out() -> None:
    grid = torch.rand(1, 4, 13, 17)
    whole = enlarged(grid, (12.5, 17), Place(0, 0, 211, 303), 211, 303)
    for top, left, height, width in ((0, 0, 64, 64), (100, 7, 111, 1), (33, 200, 65, 103)):
        part = enlarged(grid, (12.5, 17), Place(top, left, 211, 303), height, width)
        assert torch.equal(part, whole[:, :, top : top + height, left : left + width])


@pytest.mark.parametrize(
    ("size", "expected"),
    [((512, 300), (512, 300)), ((4000, 6000), (341, 512)), ((513, 1), (512, 1)), ((2, 9000), (1, 512))],
)
def test_view_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert view_size(*size, 512) == expected


def test_the_view_of_a_large_picture_is_bounded_and_every_pixel_counts() -> None:
    network = MambaIRDehaze(**SMALL)
    seen: list[Tensor] = []
    network.get_submodule("stem").register_forward_hook(lambda module, args, out: seen.append(out))
    x = torch.rand(1, 3, 520, 1100, requires_grad=True)
    network.reduced(x).sum().backward()
    assert x.grad is not None
    assert (x.grad > 0).all()
    with torch.inference_mode():
        assert network(x).shape == x.shape
    assert seen[0].shape[1:3] == (256 // 2, 512 // 2)


def test_weights_fit_in_a_megabyte() -> None:
    assert 2 * sum(p.numel() for p in MambaIRDehaze().parameters()) <= 1 << 20


def test_operations_are_counted_at_the_size_of_the_view() -> None:
    network = MambaIRDehaze()
    small, view, large = (complexity.macs(network, *size) for size in ((192, 256), (384, 512), (3000, 4000)))
    assert view == large == pytest.approx(4 * small)
    assert view > network.get_parameter("stem.weight").numel() * 192 * 256
