"""The degradation of blind super-resolution beside BasicSR's operations, for equal draws."""

import math
import random
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from mambair_cli.data import blur, combined, second_order, tensors
from mambair_cli.data.degradations import Box
from mambair_cli.training.basicsr import bridge


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """As in the processes that load data; more wait for each other on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def theirs() -> Any:
    """BasicSR's module of degradations."""
    bridge.load()
    from basicsr.data import degradations

    return degradations


@pytest.fixture
def image() -> Tensor:
    """A picture of 45 x 38 pixels with detail."""
    pixels = cv2.GaussianBlur(np.random.default_rng(0).random((38, 45, 3), dtype=np.float32), (0, 0), 1.5)
    return torch.from_numpy((pixels - pixels.min()) / np.ptp(pixels)).permute(2, 0, 1)[None].contiguous()


@pytest.mark.parametrize("edge", [7, 13, 21])
def test_kernels_are_basicsrs(edge: int, theirs: Any) -> None:
    round_, turned = blur._distance(edge, 1.3, 1.3, 0.0), blur._distance(edge, 2.1, 0.7, 0.6)
    pairs = [
        (blur.gaussian(round_), theirs.bivariate_Gaussian(edge, 1.3, 1.3, 0, isotropic=True)),
        (blur.gaussian(turned), theirs.bivariate_Gaussian(edge, 2.1, 0.7, 0.6, isotropic=False)),
        (blur.gaussian(turned, 2.5), theirs.bivariate_generalized_Gaussian(edge, 2.1, 0.7, 0.6, 2.5, isotropic=False)),
        (blur.plateau(turned, 1.5), theirs.bivariate_plateau(edge, 2.1, 0.7, 0.6, 1.5, isotropic=False)),
        (blur.sinc(1.7, edge), theirs.circular_lowpass_kernel(1.7, edge)),
        (blur.padded(blur.sinc(1.7, edge)), theirs.circular_lowpass_kernel(1.7, edge, pad_to=21)),
    ]
    for ours, expected in pairs:
        np.testing.assert_allclose(ours, expected, atol=1e-7)


def test_kernels_are_drawn_as_often_and_as_wide_as_basicsrs(theirs: Any) -> None:
    random.seed(0)
    np.random.seed(0)
    rng, kinds = np.random.default_rng(0), second_order.SecondOrder(4).rounds[0].blur
    drawn = [kinds.draw(rng) for _ in range(1500)]
    expected = []
    for _ in range(1500):
        edge = random.choice(blur.EDGES)
        if np.random.uniform() < 0.1:
            kernel = theirs.circular_lowpass_kernel(np.random.uniform(np.pi / (3 if edge < 13 else 5), np.pi), edge)
        else:
            shares, sigma = kinds.shares, (0.2, 3)
            kernel = theirs.random_mixed_kernels(
                blur.KINDS, shares, edge, sigma, sigma, [-math.pi, math.pi], (0.5, 4), (1, 2), noise_range=None
            )
        expected.append(blur.padded(kernel))
    for measure in (np.max, lambda kernel: (kernel**2).sum(), lambda kernel: -np.minimum(kernel, 0).sum()):
        ours, other = (np.array([measure(kernel) for kernel in kernels]) for kernels in (drawn, expected))
        assert abs(ours.mean() - other.mean()) < 4 * np.hypot(ours.std(), other.std()) / math.sqrt(1500)


def test_blur_mirrors_as_basicsrs(image: Tensor) -> None:
    bridge.load()
    from basicsr.utils.img_process_util import filter2D

    kernel = torch.from_numpy(blur.padded(blur.gaussian(blur._distance(13, 2.1, 0.7, 0.6)))).float()
    torch.testing.assert_close(tensors.blur(image, kernel), filter2D(image, kernel[None]))


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
def test_noise_is_basicsrs(kind: str, gray: bool, image: Tensor, theirs: Any) -> None:
    ours = getattr(tensors, f"{kind}_noise")
    other = getattr(theirs, f"add_{kind}_noise_pt")
    torch.manual_seed(5)
    found = ours(image, 2.5, gray)
    torch.manual_seed(5)
    torch.testing.assert_close(found, other(image, 2.5, gray_noise=torch.tensor([float(gray)]), clip=True))
    assert not torch.equal(found, image)


@pytest.mark.parametrize("quality", [8.0, 43.7, 50.0, 93.2])
def test_jpeg_is_basicsrs(quality: float, image: Tensor) -> None:
    bridge.load()
    from basicsr.utils import DiffJPEG

    expected = DiffJPEG(differentiable=False)(image.clone(), quality=quality)
    found = tensors.jpeg(image, quality)
    assert (found - expected).abs().mean() < 2e-4, "but for coefficients that lie between two steps"
    assert ((found - expected).abs() < 1e-4).float().mean() > 0.95


class Draws:
    """A generator that returns what is given, to have equal draws in both."""

    def __init__(self, *values: Any) -> None:
        self.values = list(values)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: self.values.pop(0)


def test_the_whole_is_basicsrs_for_equal_draws(image: Tensor, theirs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from basicsr.utils import DiffJPEG
    from basicsr.utils.img_process_util import filter2D
    from torch.nn.functional import interpolate

    kernels = [blur.padded(blur.gaussian(blur._distance(9, sigma, sigma, 0))) for sigma in (1.2, 0.8)]
    left = iter(kernels)
    monkeypatch.setattr(blur.Blur, "draw", lambda self, rng: next(left))
    blurred, reduced, as_it_is = [0.3], [1, 1.2, 0.8], [2, 1.2, 0.8]
    noise = [[11, 0.6, 0.2, 12.0], [33, 0.1, 0.9, 1.5]]  # seed, gray below 0.4, Gaussian below 0.5, strength
    bicubic, bilinear, jpeg_last, sinc = 2, 1, 0.2, [0.3, 1.9, 9]
    rng: Any = Draws(*blurred, *reduced, bicubic, *noise[0], 71.5)
    rng.values += [*blurred, *as_it_is, bilinear, *noise[1], jpeg_last, bilinear, *sinc, 48.0]
    found = second_order.SecondOrder(2).degraded(image, rng)
    assert rng.values == []

    one, two, last = (torch.from_numpy(kernel)[None].float() for kernel in (*kernels, blur.padded(blur.sinc(1.9, 9))))
    size = image.shape[2] // 2, image.shape[3] // 2
    out = interpolate(filter2D(image, one), scale_factor=0.8, mode="bicubic")
    torch.manual_seed(11)
    out = theirs.add_gaussian_noise_pt(out, 12.0, gray_noise=torch.zeros(1), clip=True)
    out = filter2D(DiffJPEG(differentiable=False)(out.clamp(0, 1), quality=71.5), two)
    out = interpolate(out, size=size, mode="bilinear")
    torch.manual_seed(33)
    out = theirs.add_poisson_noise_pt(out, 1.5, gray_noise=torch.ones(1), clip=True)
    out = filter2D(interpolate(out, size=size, mode="bilinear"), last)
    out = DiffJPEG(differentiable=False)(out.clamp(0, 1), quality=48.0)
    assert (found - out).abs().mean() < 2e-3


def test_a_recipe_takes_it_and_a_seed_repeats_it() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    made = combined.from_options({"type": "second_order", "jpeg_range": [60, 90], "final_sinc_prob": 1.0}, 4)
    low = made(photo, Box(16, 32, 32, 32), np.random.default_rng(3))
    assert low.shape == (8, 8, 3)
    assert low.dtype == np.uint8
    again = made(photo, Box(16, 32, 32, 32), np.random.default_rng(3))
    assert np.array_equal(low, again)
    assert not np.array_equal(low, made(photo, Box(16, 32, 32, 32), np.random.default_rng(4)))


@pytest.mark.parametrize("shape", [(4, 4, 3), (16, 8, 1), (64, 64, 1)])
def test_small_and_gray_pictures(shape: tuple[int, ...]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    made = second_order.SecondOrder(2)
    for seed in range(12):
        low = made(photo, Box(0, 0, *shape[:2]), np.random.default_rng(seed))
        assert low.shape == (shape[0] // 2, shape[1] // 2, shape[2])
