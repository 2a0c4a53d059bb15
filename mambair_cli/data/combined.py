"""Degradations made of others: in a row, drawn from several, or without colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from . import degradations, degrade, photos
from .degradations import JPEG_GRID, Bicubic, Box, Degradation
from .degrade import Bytes

CONTEXT = 3 * JPEG_GRID
"""Pixels around a patch that no degradation looks beyond; a multiple of every scale."""


@dataclass(frozen=True)
class Chain:
    """One after the other, each stored in 8 bits before the next, as a photo that is saved again.

    The first may reduce the photo; the others keep the size.

    Attributes:
        steps: in their order.
    """

    steps: tuple[Degradation, ...]

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`; a step sees what the ones before it made of its surroundings."""
        *others, last = self.steps
        for left, step in zip(range(len(others), 0, -1), others, strict=True):
            around = box.widened(left * CONTEXT, photo)
            patch = step(photo, around, rng)
            photo = patch if patch.dtype == np.uint8 else degrade.stored(patch)
            box = box.within(around, step.scale if isinstance(step, Bicubic) else 1)
        return last(photo, box, rng)


@dataclass(frozen=True)
class Mix:
    """One of several for each patch.

    Attributes:
        of: what there is to draw from.
        shares: how often each is drawn, in relation to the others; all evenly if there are none.
    """

    of: tuple[Degradation, ...]
    shares: tuple[float, ...] = ()

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`."""
        shares = np.array(self.shares or (1,) * len(self.of))
        return self.of[rng.choice(len(self.of), p=shares / shares.sum())](photo, box, rng)


def gray(degradation: Degradation, photo: Bytes, box: Box, rng: np.random.Generator) -> tuple[Bytes, NDArray[Any]]:
    """The patch without its colours, and its low-quality version, with as many equal channels as the photo has."""
    around = box.widened(CONTEXT, photo)
    plain, inner = photos.luma(around.cut(photo)), box.within(around)
    low = degradation(plain, inner, rng)
    return np.repeat(inner.cut(plain), photo.shape[2], axis=2), np.repeat(low, photo.shape[2], axis=2)


KINDS: dict[str, type[Chain | Mix]] = {"chain": Chain, "mix": Mix}
PARTS = {"chain": "steps", "mix": "of"}


def from_options(options: Mapping[str, Any], scale: int) -> Degradation:
    """The degradation of a recipe, a single one or a combination: ``{type: chain, steps: [...]}``.

    Raises:
        UsageError: see :func:`degradations.from_options`; or a combination has no parts, or shares that do not fit, or
            a chain reduces the photo in another step than the first.
    """
    kind = options.get("type")
    if kind not in KINDS:
        return degradations.from_options(options, scale)
    given = {key: value for key, value in options.items() if key != "type"}
    degradations.refuse_unknown(kind, given, [PARTS[kind], *(["shares"] if kind == "mix" else [])])
    parts = given.get(PARTS[kind])
    if not isinstance(parts, Sequence) or not parts or not all(isinstance(part, Mapping) for part in parts):
        raise UsageError(f"The degradation {kind} has no {PARTS[kind]}.", "Give a list of degradations.")
    if kind == "mix":
        made = tuple(from_options(part, scale) for part in parts)
        return Mix(made, _shares(given.get("shares"), len(made)))
    if any(part.get("type", "bicubic") == "bicubic" for part in parts[1:]):
        raise UsageError("The degradation bicubic is not the first of its chain.", "Reduce the photo first.")
    return Chain((from_options(parts[0], scale), *(from_options(part, 1) for part in parts[1:])))


def _shares(shares: Any, count: int) -> tuple[float, ...]:
    if shares is None:
        return ()
    numbers = isinstance(shares, list | tuple) and all(isinstance(share, int | float) for share in shares)
    if not numbers or len(shares) != count or min(shares) < 0 or not sum(shares) > 0:
        raise UsageError(f"shares: {shares!r} does not fit {count} degradations.", "Give one number for each.")
    return tuple(shares)
