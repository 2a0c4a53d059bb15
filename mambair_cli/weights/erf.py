"""Pictures to measure the receptive field of a model with, and the drawing of it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from mambair_archs.receptive_field import contributions

from ..errors import InputError, ModelError, OutputError
from ..files.outputs import check_new, publish, reserved
from ..images import planes
from ..images.decode import decode
from ..images.opencv import write
from ..images.picture import Pixels
from .loader import Model

EDGE = 512
"""Least edge of the drawing in pixels."""


def measure(
    model: Model, pictures: Sequence[Path], size: int, count: int, progress: Callable[[int, int], None]
) -> torch.Tensor:
    """How much every pixel contributes to the centre, (size, size); see :mod:`mambair_archs.receptive_field`.

    Args:
        model: what is measured.
        pictures: files of which the centre is taken; without any, ``count`` noises are made.
        size: edge of what is taken.
        count: of noises.
        progress: called with pictures done and in total.

    Raises:
        InputError: a picture cannot be read or is smaller than ``size``.
        ModelError: the centre of the model's output does not depend on its input.
    """
    channels = model.descriptor.in_channels
    model.network.requires_grad_(False)
    shown = (_centre(path, size, channels) for path in pictures) if pictures else noises(count, size, channels)

    def told() -> Iterator[torch.Tensor]:
        for number, picture in enumerate(shown):
            progress(number, len(pictures) or count)
            yield picture.to(model.device)

    try:
        return contributions(model.network, told())
    except ValueError as error:
        hint = "Give pictures that are not black."
        raise ModelError(f"The model {model.name} cannot be measured: {error}.", hint) from None


def _centre(path: Path, size: int, channels: int) -> torch.Tensor:
    pixels = decode(path).pixels
    height, width = pixels.shape[:2]
    if min(height, width) < size:
        hint = f"Give a larger picture, or --size {min(height, width)}."
        raise InputError(f"{path} has {height} x {width} pixels, fewer than {size}.", hint)
    top, left = (height - size) // 2, (width - size) // 2
    part = planes.colour(pixels[top : top + size, left : left + size])
    return torch.from_numpy(np.ascontiguousarray(planes.for_network(part, channels).transpose(2, 0, 1)))[None]


def noises(count: int, size: int, channels: int) -> Iterator[torch.Tensor]:
    """Noise whose amplitude falls with the frequency as that of photographs does; the same every time."""
    generator = torch.Generator().manual_seed(0)
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]).clamp(min=1 / size)
    for _ in range(count):
        white = torch.fft.rfft2(torch.randn(1, channels, size, size, generator=generator))
        pink = torch.fft.irfft2(white / frequency, s=(size, size))
        yield (0.5 + 0.15 * pink / pink.std()).clamp(0, 1)


def draw(contribution: torch.Tensor) -> Pixels:
    """Contributions (height, width) as RGB pixels: log10(x + 1) over its largest value, x in millionths of the sum."""
    values = torch.log10(contribution / contribution.sum() * 1e6 + 1)
    shades = (values / values.max() * 255).round().to(torch.uint8).numpy()
    times = -(-EDGE // min(shades.shape))
    colours = cv2.applyColorMap(shades, cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
    return np.ascontiguousarray(colours.repeat(times, 0).repeat(times, 1))


def save(contribution: torch.Tensor, target: Path, overwrite: bool) -> None:
    """Write the drawing of contributions.

    Raises:
        OutputError: the file exists, or cannot be written.
    """
    with reserved(target) as temporary:
        publish(temporary, target, write(".png", draw(contribution)), overwrite)


def check(target: Path | None, overwrite: bool) -> None:
    """Refuse, before the work, a drawing that could not be written.

    Raises:
        OutputError: the file exists, or does not end in .png.
    """
    if target is None:
        return
    if target.suffix.lower() != ".png":
        raise OutputError(f"{target} does not end in .png.", "Give it that ending.")
    if not overwrite:
        check_new(target)
