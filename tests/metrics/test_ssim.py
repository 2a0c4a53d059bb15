import cv2
import numpy as np
import pytest

from benchmarks.basicsr_parts import installed, part
from mambair_cli.metrics.psnr import psnr
from mambair_cli.metrics.ssim import ssim


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Smooth shapes in colour, and the same with noise."""
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    target = np.asarray(cv2.resize(coarse, (64, 48), interpolation=cv2.INTER_CUBIC), np.uint8)
    image = np.clip(target + rng.normal(0, 12, target.shape), 0, 255).astype(np.uint8)
    return image, target


@pytest.mark.skipif(not installed(), reason="BasicSR is not installed")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("border", [0, 4])
@pytest.mark.parametrize("luma", [True, False])
def test_figures_are_those_of_basicsr(
    pair: tuple[np.ndarray, np.ndarray], channels: int, border: int, luma: bool
) -> None:
    published = part("metrics.psnr_ssim")
    image, target = (array[:, :, :channels] for array in pair)
    bgr = [array[:, :, ::-1] for array in (image, target)]
    expected = published.calculate_ssim(*bgr, border, test_y_channel=luma)
    assert 0.2 < expected < 0.98
    assert ssim(image, target, border, luma) == pytest.approx(expected, abs=1e-6)
    expected = published.calculate_psnr(*bgr, border, test_y_channel=luma)
    assert psnr(image, target, border, luma) == pytest.approx(expected, abs=1e-4)


def test_closed_forms() -> None:
    low, high = np.full((16, 16, 1), 50, np.uint8), np.full((16, 16, 1), 100, np.uint8)
    assert ssim(low, low) == pytest.approx(1)
    c1 = (0.01 * 255) ** 2
    assert ssim(low, high) == pytest.approx((2 * 50 * 100 + c1) / (50**2 + 100**2 + c1))  # no structure to compare


def test_what_cannot_be_compared_is_refused() -> None:
    small = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="shapes differ"):
        ssim(small, small[:, :12])
    with pytest.raises(ValueError, match="8 x 8 pixels is smaller"):
        ssim(small, small, crop_border=4)
