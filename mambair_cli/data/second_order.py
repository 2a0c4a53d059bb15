"""The degradation of blind super-resolution: blur, resizing, noise and JPEG, twice, and a sinc filter at the end.

X. Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW 2021.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from ..declaration import Probability, Range, Within
from . import blur, degrade, tensors
from .degradations import JPEG_GRID, Box, degradation
from .degrade import Bytes

MODES = ("area", "bilinear", "bicubic")
MARGIN = 3 * JPEG_GRID
"""Pixels around a patch that are degraded with it, a multiple of every scale."""

Kinds = Annotated[tuple[float, ...], Field(min_length=6, max_length=6)]
Ways = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]


@dataclass(frozen=True)
class Round:
    """What one round draws from; the words are those of :class:`SecondOrder`."""

    blur: blur.Blur
    blur_prob: float
    resize_prob: tuple[float, ...]
    resize_range: Range
    gaussian_noise_prob: float
    noise_range: Range
    poisson_scale_range: Range
    gray_noise_prob: float
    jpeg_range: Range

    def resizing(self, rng: np.random.Generator) -> float:
        """Size over size before."""
        shares = np.array(self.resize_prob)
        way = rng.choice(3, p=shares / shares.sum())
        low, high = self.resize_range
        return float((rng.uniform(1, high), rng.uniform(low, 1), 1.0)[way])

    def blurred(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Filtered, or not."""
        kernel = self.blur.draw(rng)
        return tensors.blur(image, torch.from_numpy(kernel)) if rng.random() < self.blur_prob else image

    def noisy(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """With noise of one kind."""
        generator = torch.Generator(image.device).manual_seed(int(rng.integers(1 << 62)))
        gray = bool(rng.random() < self.gray_noise_prob)
        if rng.random() < self.gaussian_noise_prob:
            return tensors.gaussian_noise(image, rng.uniform(*self.noise_range), gray, generator)
        return tensors.poisson_noise(image, rng.uniform(*self.poisson_scale_range), gray, generator)

    def compressed(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """Through JPEG."""
        return tensors.jpeg(image, rng.uniform(*self.jpeg_range))


@degradation("second_order")
@dataclass(frozen=True)
class SecondOrder:
    """Blur, resizing, noise and JPEG, twice, then a sinc filter, as Real-ESRGAN makes photos poor.

    The options are named as in its recipes, and their defaults are the published ones; those of the second round end
    in 2.

    Attributes:
        kernel_prob: shares of the blurs: Gaussian, generalised and plateau, each alike in all directions or not.
        sinc_prob: how often the blur is a sinc filter.
        blur_sigma: standard deviation of the blur in pixels.
        betag_range: exponent of the generalised shape; half are below 1.
        betap_range: exponent of the plateau; half are below 1.
        resize_prob: shares of enlarging, reducing and keeping the size.
        resize_range: size over size before.
        gaussian_noise_prob: how often the noise is Gaussian; else it is that of photons.
        noise_range: standard deviation of Gaussian noise in levels of 8 bits.
        poisson_scale_range: factor of the noise of photons.
        gray_noise_prob: how often the noise is the same in all channels.
        jpeg_range: quality.
        second_blur_prob: how often the second round blurs.
        kernel_prob2: as kernel_prob.
        sinc_prob2: as sinc_prob.
        blur_sigma2: as blur_sigma.
        betag_range2: as betag_range.
        betap_range2: as betap_range.
        resize_prob2: as resize_prob.
        resize_range2: as resize_range, of the size at the end.
        gaussian_noise_prob2: as gaussian_noise_prob.
        noise_range2: as noise_range.
        poisson_scale_range2: as poisson_scale_range.
        gray_noise_prob2: as gray_noise_prob.
        jpeg_range2: as jpeg_range.
        final_sinc_prob: how often a sinc filter comes last, before or after JPEG.
    """

    scale: int
    kernel_prob: Kinds = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    sinc_prob: Probability = 0.1
    blur_sigma: Annotated[Range, Within(0.01, 20)] = (0.2, 3.0)
    betag_range: Annotated[Range, Within(0.1, 20)] = (0.5, 4.0)
    betap_range: Annotated[Range, Within(0.1, 20)] = (1.0, 2.0)
    resize_prob: Ways = (0.2, 0.7, 0.1)
    resize_range: Annotated[Range, Within(0.05, 4)] = (0.15, 1.5)
    gaussian_noise_prob: Probability = 0.5
    noise_range: Annotated[Range, Within(0, 255)] = (1.0, 30.0)
    poisson_scale_range: Annotated[Range, Within(0, 20)] = (0.05, 3.0)
    gray_noise_prob: Probability = 0.4
    jpeg_range: Annotated[Range, Within(1, 100)] = (30.0, 95.0)
    second_blur_prob: Probability = 0.8
    kernel_prob2: Kinds = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    sinc_prob2: Probability = 0.1
    blur_sigma2: Annotated[Range, Within(0.01, 20)] = (0.2, 1.5)
    betag_range2: Annotated[Range, Within(0.1, 20)] = (0.5, 4.0)
    betap_range2: Annotated[Range, Within(0.1, 20)] = (1.0, 2.0)
    resize_prob2: Ways = (0.3, 0.4, 0.3)
    resize_range2: Annotated[Range, Within(0.05, 4)] = (0.3, 1.2)
    gaussian_noise_prob2: Probability = 0.5
    noise_range2: Annotated[Range, Within(0, 255)] = (1.0, 25.0)
    poisson_scale_range2: Annotated[Range, Within(0, 20)] = (0.05, 2.5)
    gray_noise_prob2: Probability = 0.4
    jpeg_range2: Annotated[Range, Within(1, 100)] = (30.0, 95.0)
    final_sinc_prob: Probability = 0.8

    @property
    def rounds(self) -> tuple[Round, Round]:
        """The options of the first and of the second one."""
        return self._round("", 1.0), self._round("2", self.second_blur_prob)

    def _round(self, number: str, blur_prob: float) -> Round:
        def of(name: str) -> Any:
            return getattr(self, name + number)

        kernels = blur.Blur(of("kernel_prob"), of("sinc_prob"), of("blur_sigma"), of("betag_range"), of("betap_range"))
        return Round(
            kernels,
            blur_prob,
            of("resize_prob"),
            of("resize_range"),
            of("gaussian_noise_prob"),
            of("noise_range"),
            of("poisson_scale_range"),
            of("gray_noise_prob"),
            of("jpeg_range"),
        )

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`; blocks of JPEG start anywhere, and borders of the patch are none of the picture."""
        around = box.widened(MARGIN - self.scale * int(rng.integers(8)), photo)
        clean = torch.from_numpy(np.ascontiguousarray(around.cut(photo))).permute(2, 0, 1)[None].float() / 255
        low = self.degraded(clean.contiguous(), rng)[0].permute(1, 2, 0).numpy()
        return box.within(around, self.scale).cut(degrade.stored(low))

    def degraded(self, clean: Tensor, rng: np.random.Generator) -> Tensor:
        """A picture (1, channels, height, width) on any device, reduced by the scale; neither clipped nor rounded."""
        height, width = (edge // self.scale for edge in clean.shape[2:])
        first, second = self.rounds
        image = first.blurred(clean, rng)
        factor = max(first.resizing(rng), 1 / min(image.shape[2:]))
        image = F.interpolate(image, scale_factor=factor, mode=_mode(rng))
        image = first.compressed(first.noisy(image, rng), rng)
        image = second.blurred(image, rng)
        factor = second.resizing(rng)
        size = max(1, int(height * factor)), max(1, int(width * factor))
        image = F.interpolate(image, size=size, mode=_mode(rng))
        image = second.noisy(image, rng)
        compressed_last = rng.random() < 0.5
        if not compressed_last:
            image = second.compressed(image, rng)
        image = tensors.blur(
            F.interpolate(image, size=(height, width), mode=_mode(rng)), torch.from_numpy(self._last(rng))
        )
        return second.compressed(image, rng) if compressed_last else image

    def _last(self, rng: np.random.Generator) -> blur.Kernel:
        if rng.random() >= self.final_sinc_prob:
            return blur.pulse()
        return blur.padded(blur.sinc(rng.uniform(np.pi / 3, np.pi), int(rng.choice(blur.EDGES))))


def _mode(rng: np.random.Generator) -> str:
    return MODES[rng.integers(len(MODES))]
