"""Crops of photos on the card, and batches of patches of them."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

EDGE = 384
"""Of a crop, in pixels: a multiple of every scale, and of 16."""


def _load(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def _places(edge: int) -> list[int]:
    """Where crops begin that cover an edge."""
    return [round(place) for place in np.linspace(0, edge - EDGE, max(1, math.ceil((edge - 64) / EDGE)))]


class Reduce:
    """MATLAB's bicubic reduction of crops with symmetric borders: rows first, rounded, then columns."""

    def __init__(self, scale: int, device: torch.device) -> None:
        self.scale = scale
        middle = (scale - 1) / 2
        first = math.ceil(middle - 2 * scale + 1e-6)
        taps = torch.arange(first, math.floor(middle + 2 * scale - 1e-6) + 1, dtype=torch.float64)
        x = ((taps - middle) / scale).abs()
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        weights = torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
        self.first, self.weights = first, (weights / weights.sum()).float().to(device)

    def __call__(self, image: Tensor) -> Tensor:
        """(n, channels, height, width) in levels to the same divided by the scale."""
        return self._along(self._along(image, 2), 3)

    def _along(self, image: Tensor, dim: int) -> Tensor:
        length, taps, margin = image.shape[dim], len(self.weights), 4 * self.scale
        places = torch.arange(-margin, length + margin, device=image.device) % (2 * length)
        image = image.index_select(dim, torch.where(places < length, places, 2 * length - 1 - places))
        image = image.narrow(dim, margin + self.first, self.scale * (length // self.scale - 1) + taps)
        n, c, height, width = image.shape
        shape, stride = ((1, 1, taps, 1), (self.scale, 1)) if dim == 2 else ((1, 1, 1, taps), (1, self.scale))
        out = F.conv2d(image.reshape(n * c, 1, height, width), self.weights.view(shape), stride=stride)
        return (out.view(n, c, *out.shape[2:]) + 1e-4).round().clamp(0, 255)


class Crops:
    """Squares that cover the photos of a folder, all on the device as (count, EDGE, EDGE, 3) bytes."""

    def __init__(self, folder: Path, device: torch.device, most: int | None = None) -> None:
        paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".png"))[:most]
        with ThreadPoolExecutor(16) as pool:
            photos = [photo for photo in pool.map(_load, paths) if min(photo.shape[:2]) >= EDGE]
        crops = [
            photo[y : y + EDGE, x : x + EDGE]
            for photo in photos
            for y in _places(photo.shape[0])
            for x in _places(photo.shape[1])
        ]
        self.high = torch.from_numpy(np.stack(crops)).to(device)
        green = self.high[..., 1].float()
        detail = (green[:, 1:, :-1] - green[:, :-1, :-1]).abs() + (green[:, :-1, 1:] - green[:, :-1, :-1]).abs()
        self.weights = detail.clamp(max=40).mean((1, 2)).sqrt() + 0.3

    def reduced(self, scale: int) -> Tensor:
        """All crops reduced, (count, EDGE / scale, EDGE / scale, 3) bytes."""
        reduce = Reduce(scale, self.high.device)
        parts = [reduce(part.permute(0, 3, 1, 2).float()) for part in self.high.split(16)]
        return torch.cat([part.permute(0, 2, 3, 1).byte() for part in parts])


class Draw:
    """Places of patches in crops, turned and mirrored; every picture of the same crops can be cut there."""

    def __init__(self, weights: Tensor, n: int, patch: int, edge: int) -> None:
        """Patches of ``patch`` pixels in crops of ``edge`` pixels, with chances like ``weights``."""
        self.cumulative, self.n, self.patch, self.edge = weights.double().cumsum(0), n, patch, edge
        self.again()

    def again(self) -> None:
        """Draw other places."""
        device = self.cumulative.device
        share = torch.rand(self.n, device=device, dtype=torch.float64) * self.cumulative[-1]
        self.crop = torch.searchsorted(self.cumulative, share).clamp(max=len(self.cumulative) - 1).view(-1, 1, 1)
        self.corner = (torch.rand(2, self.n, 1, 1, device=device) * (self.edge - self.patch + 1)).long()
        self.flips = torch.rand(3, self.n, 1, 1, device=device) < 0.5

    def cut(self, crops: Tensor, scale: int = 1) -> Tensor:
        """(n, 3, patch * scale, patch * scale) in levels, of crops that are ``scale`` times as large."""
        size, edge = self.patch * scale, crops.shape[1]
        line = torch.arange(size, device=crops.device)
        a, b = line.view(1, size, 1).expand(self.n, size, size), line.view(1, 1, size).expand(self.n, size, size)
        a, b = torch.where(self.flips[0], size - 1 - a, a), torch.where(self.flips[1], size - 1 - b, b)
        a, b = torch.where(self.flips[2], b, a), torch.where(self.flips[2], a, b)
        index = (self.crop * edge + self.corner[0] * scale + a) * edge + self.corner[1] * scale + b
        return crops.view(-1, 3)[index].permute(0, 3, 1, 2).float()


def flat(n: int, edge: int, device: torch.device) -> Tensor:
    """Pictures (n, 3, edge, edge) of one colour or a gradient, with up to four rectangles of others, half of them pure.

    Charts, logos and pages have these, and photos hardly.
    """

    def colour() -> Tensor:
        value = (torch.rand(n, 3, 1, 1, device=device) * 256).floor().clamp(max=255)
        pure = torch.rand(n, 1, 1, 1, device=device) < 0.5
        return torch.where(pure, (value > 127).float() * 255, value)

    line = torch.arange(edge, device=device)
    y, x = line.view(1, 1, edge, 1), line.view(1, 1, 1, edge)
    ramp = torch.rand(n, 1, 1, 1, device=device) < 0.3
    share = torch.where(ramp, (x / edge).expand(n, 1, edge, edge), torch.zeros((), device=device))
    image = colour() * (1 - share) + colour() * share
    for _ in range(4):
        bounds = (torch.rand(2, 2, n, 1, 1, 1, device=device) * edge).long()
        (top, left), (bottom, right) = bounds.amin(0), bounds.amax(0)
        there = (y >= top) & (y < bottom) & (x >= left) & (x < right) & (torch.rand(n, 1, 1, 1, device=device) < 0.6)
        image = torch.where(there, colour(), image)
    return image.round()


Network = Callable[[Tensor], Tensor]


@torch.no_grad()
def taught(teacher: Network, low: Tensor, scale: int, at_once: int) -> Tensor:
    """What a teacher makes of reduced crops, (count, EDGE, EDGE, 3) bytes."""
    made = []
    for part in low.split(at_once):
        out = teacher(part.permute(0, 3, 1, 2).float() / 255)
        made.append(out.float().clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1))
    return torch.cat(made)
