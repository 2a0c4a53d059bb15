"""What makes pictures poor, on whole batches and with a draw of its own for every picture.

All take and give (n, channels, height, width) in levels of 8 bits. Nothing here waits for the card, so that it can be
part of a CUDA graph; only :func:`second_order` draws sizes, which a graph cannot.
"""

import math
import random
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def uniform(like: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """One number per picture, (n, 1, 1, 1)."""
    return low + (high - low) * torch.rand(len(like), 1, 1, 1, device=like.device)


def chance(like: Tensor, probability: float) -> Tensor:
    """True for some pictures, (n, 1, 1, 1)."""
    return uniform(like) < probability


def stored(image: Tensor) -> Tensor:
    """Rounded and clipped as a file has it."""
    return image.round().clamp(0, 255)


def gray(image: Tensor, probability: float) -> Tensor:
    """Some pictures without colours (BT.601)."""
    luma = 0.299 * image[:, :1] + 0.587 * image[:, 1:2] + 0.114 * image[:, 2:]
    return torch.where(chance(image, probability), luma.round(), image)


def white_noise(image: Tensor, sigma: Tensor, shot: Tensor | float = 0.0, same: float = 0.0) -> Tensor:
    """Gaussian noise of ``sigma`` levels at mid gray.

    A share ``shot`` of its variance grows with brightness, and in a share ``same`` of the pictures it has no colours.
    """
    noise = torch.randn_like(image)
    alike = torch.randn_like(image[:, :1])
    noise = torch.where(chance(image, same), alike, noise)
    return image + noise * sigma * (1 - shot + shot * image.clamp(min=0) / 128).sqrt()


@cache
def _interpolation(device: torch.device) -> Tensor:
    """Kernels (3, 1, 3, 3): what a pixel that a Bayer mosaic lacks takes from those around it.

    They are kept, because a graph must not copy from the host.
    """
    green = [[0.0, 0.25, 0.0], [0.25, 1.0, 0.25], [0.0, 0.25, 0.0]]
    other = [[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]]
    return torch.tensor([other, green, other], device=device)[:, None]


def camera_noise(image: Tensor) -> Tensor:
    """Noise as cameras leave it, coloured and with grains of some pixels.

    Noise of photons and of reading in the linear mosaic of a sensor goes through demosaicing, white balance, gamma and
    sharpening. Only the difference that it makes is added: the picture does not get softer. After T. Brooks et al.,
    "Unprocessing Images for Learned Raw Denoising", CVPR 2019. Recipes have it as :mod:`mambair_cli.data.camera`, which
    machines with a card that is lent lack; a test compares the two.
    """
    gains = torch.cat([uniform(image, 1.2, 2.4), torch.ones_like(image[:, :1, :1, :1]), uniform(image, 1.2, 2.4)], 1)
    linear = (image.clamp(0, 255) / 255) ** 2.2 / gains
    strength = 10 ** uniform(image, -4.0, -2.2)
    read = 10 ** uniform(image, -3.4, -2.0)
    noisy = linear + torch.randn_like(linear) * (linear * strength + read**2).sqrt()
    height, width = image.shape[2:]
    mosaic = torch.zeros(1, 3, height, width, device=image.device)
    mosaic[:, 0, ::2, ::2] = mosaic[:, 2, 1::2, 1::2] = 1
    mosaic[:, 1, ::2, 1::2] = mosaic[:, 1, 1::2, ::2] = 1
    kernels = _interpolation(image.device)
    amount = uniform(image, 0.0, 1.0)

    def processed(raw: Tensor) -> Tensor:
        full = F.conv2d(F.pad(raw * mosaic, (1, 1, 1, 1)), kernels, groups=3)
        shown = 255 * (full * gains).clamp(1e-6, 1) ** (1 / 2.2)
        soft = F.avg_pool2d(F.pad(shown, (1, 1, 1, 1), mode="replicate"), 3, 1)
        return shown + amount * (shown - soft)

    return image + processed(noisy) - processed(linear)


_LUMA = [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
]
_CHROMA = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]


JPEG_UNIT = 16
"""Edge of what JPEG codes at once where colours are halved."""


class Jpeg:
    """What JPEG (ITU-T T.81, libjpeg's tables) does to pictures whose sides are multiples of 16."""

    def __init__(self, device: torch.device) -> None:
        k = torch.arange(8, dtype=torch.float64)
        cosines = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
        cosines[0] *= math.sqrt(0.5)
        self.cosines = cosines.float().to(device)
        self.luma = torch.tensor(_LUMA, dtype=torch.float32, device=device)
        chroma = torch.full((8, 8), 99.0)
        chroma[:4, :4] = torch.tensor(_CHROMA)
        self.chroma = chroma.to(device)
        to = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
        self.to, self.back = to.to(device), torch.inverse(to.double()).float().to(device)

    def __call__(self, image: Tensor, quality: Tensor, halved: Tensor) -> Tensor:
        """``quality`` 1 to 100 and ``halved`` (4:2:0) are one per picture, (n, 1, 1, 1)."""
        factor = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality) / 100
        planes = torch.einsum("ij,njhw->nihw", self.to, stored(image)).round()
        luma = self._coded(planes[:, :1] - 128, self.luma, factor) + 128
        whole = self._coded(planes[:, 1:], self.chroma, factor)
        half = self._coded(F.avg_pool2d(planes[:, 1:], 2).round(), self.chroma, factor)
        half = F.interpolate(half, scale_factor=2, mode="bilinear", align_corners=False)
        colours = torch.where(halved, half, whole)
        return stored(torch.einsum("ij,njhw->nihw", self.back, torch.cat([luma, colours], 1)))

    def _coded(self, plane: Tensor, table: Tensor, factor: Tensor) -> Tensor:
        n, c, height, width = plane.shape
        steps = (table * factor + 0.5).floor().clamp(1, 255).view(n, 1, 1, 1, 8, 8)
        blocks = plane.reshape(n, c, height // 8, 8, width // 8, 8).transpose(3, 4)
        found = (self.cosines @ blocks @ self.cosines.T / steps).round() * steps
        blocks = self.cosines.T @ found @ self.cosines
        return blocks.transpose(3, 4).reshape(n, c, height, width).round().clamp(-128, 127)

    def draw(self, image: Tensor, low: float, high: float) -> Tensor:
        """Qualities of chance, half of the pictures 4:2:0."""
        return self(image, uniform(image, low, high), chance(image, 0.5))


def any_size(jpeg: Jpeg, image: Tensor, low: float, high: float) -> Tensor:
    """JPEG of a picture whose sides are no multiples of 16."""
    height, width = image.shape[2:]
    wide = F.pad(image, (0, -width % JPEG_UNIT, 0, -height % JPEG_UNIT), mode="replicate")
    return jpeg.draw(wide, low, high)[:, :, :height, :width]


def blurred(image: Tensor, sigma: tuple[float, float], cut: float = 0.0) -> Tensor:
    """Gaussian blur of any shape and direction, or (for a share ``cut`` of the pictures) an ideal low-pass filter."""
    height, width = image.shape[2:]
    v = torch.fft.fftfreq(height, device=image.device).view(1, 1, height, 1)
    u = torch.fft.rfftfreq(width, device=image.device).view(1, 1, 1, -1)
    turn = uniform(image, 0, math.pi)
    along, across = uniform(image, *sigma), uniform(image, *sigma)
    across = torch.where(chance(image, 0.6), along, across)
    a, b = u * turn.cos() + v * turn.sin(), v * turn.cos() - u * turn.sin()
    transfer = torch.exp(-2 * math.pi**2 * ((a * along) ** 2 + (b * across) ** 2))
    ideal = ((u**2 + v**2).sqrt() < uniform(image, 1 / 6, 1 / 2)).float()
    transfer = torch.where(chance(image, cut), ideal, transfer)
    filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(image) * transfer, s=(height, width))
    return filtered


def sharpened(image: Tensor, amount: float = 0.5, sigma: float = 3.0) -> Tensor:
    """Unsharp mask."""
    height, width = image.shape[2:]
    v = torch.fft.fftfreq(height, device=image.device).view(1, 1, height, 1)
    u = torch.fft.rfftfreq(width, device=image.device).view(1, 1, 1, -1)
    transfer = torch.exp(-2 * math.pi**2 * sigma**2 * (u**2 + v**2))
    soft: Tensor = torch.fft.irfft2(torch.fft.rfft2(image) * transfer, s=(height, width))
    return (image + amount * (image - soft)).clamp(0, 255)


def _resized(image: Tensor, height: int, width: int) -> Tensor:
    mode = random.choice(("area", "bilinear", "bicubic"))
    given = {} if mode == "area" else {"antialias": random.random() < 0.5}
    return F.interpolate(image, size=(height, width), mode=mode, **given)


def second_order(jpeg: Jpeg, image: Tensor, scale: int) -> Tensor:
    """Blur, resizing, noise and JPEG, twice, and a low-pass filter, to 1/``scale`` of the size.

    After X. Wang et al., "Real-ESRGAN", ICCVW 2021, milder, as pictures of phones and of the web are; sizes are drawn
    once for all pictures.
    """
    height, width = (edge // scale for edge in image.shape[2:])

    def factor(shares: tuple[float, float], low: float, high: float) -> float:
        way = random.random()
        return random.uniform(1, high) if way < shares[0] else random.uniform(low, 1) if way < sum(shares) else 1.0

    def noisy(image: Tensor, most: float) -> Tensor:
        noise = white_noise(image, uniform(image, 0, most), uniform(image), 0.4)
        return stored(torch.where(chance(image, 0.3), camera_noise(image), noise))

    low = blurred(image, (0.2, 2.6), 0.1)
    size = factor((0.2, 0.7), 0.2, 1.4)
    low = noisy(_resized(low, int(image.shape[2] * size), int(image.shape[3] * size)), 14)
    low = any_size(jpeg, low, 35, 98)
    low = torch.where(chance(low, 0.8), blurred(low, (0.2, 1.4), 0.1), low)
    size = factor((0.3, 0.4), 0.4, 1.2)
    low = noisy(_resized(low, int(height * size), int(width * size)), 10)
    if random.random() < 0.5:
        low = _resized(any_size(jpeg, low, 35, 98), height, width)
        return stored(torch.where(chance(low, 0.6), blurred(low, (0.0, 0.1), 1.0), low))
    low = _resized(low, height, width)
    low = torch.where(chance(low, 0.6), blurred(low, (0.0, 0.1), 1.0), low)
    return any_size(jpeg, low, 35, 98)
