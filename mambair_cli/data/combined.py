"""Degradations made of others: in a row, drawn from several, or without colours."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter

from ..declaration import OneOf, Part, checked
from ..errors import UsageError
from . import camera, degrade, photos, second_order  # noqa: F401  register themselves
from .degradations import JPEG_GRID, KINDS, Box, Degradation, check_scale, declared, degradation, reduces
from .degrade import Bytes

CONTEXT = 3 * JPEG_GRID
"""Pixels around a patch that no degradation looks beyond; a multiple of every scale."""


def _without(*combinations: str) -> tuple[type[Part], ...]:
    return tuple(declared(name) for name in KINDS if name not in combinations)


Single = Annotated[Any, OneOf(lambda: _without("chain", "mix"))]
Drawn = Annotated[Any, OneOf(lambda: _without("mix"))]
Made = Annotated[Any, OneOf(_without)]
"""Options of a degradation: a single one, one that a mix draws from, any."""


@degradation("chain")
@dataclass(frozen=True)
class Chain:
    """One after the other, each stored in 8 bits before the next, as a photo that is saved again.

    The first may reduce the photo; the others keep the size.

    Attributes:
        steps: degradations in their order; only the first may be bicubic.
    """

    steps: Annotated[tuple[Single, ...], Field(min_length=1)]

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`; a step sees what the ones before it made of its surroundings."""
        *others, last = self.steps
        for left, step in zip(range(len(others), 0, -1), others, strict=True):
            around = box.widened(left * CONTEXT, photo)
            patch = step(photo, around, rng)
            photo = patch if patch.dtype == np.uint8 else degrade.stored(patch)
            box = box.within(around, getattr(step, "scale", 1))
        low: NDArray[Any] = last(photo, box, rng)
        return low


@degradation("mix")
@dataclass(frozen=True)
class Mix:
    """One of several for each patch.

    Attributes:
        of: degradations to draw from.
        shares: how often each is drawn, in relation to the others; all evenly if there are none.

    Raises:
        UsageError: the shares do not fit.
    """

    of: Annotated[tuple[Drawn, ...], Field(min_length=1)]
    shares: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=0)] = ()

    def __post_init__(self) -> None:
        if self.shares and (len(self.shares) != len(self.of) or not sum(self.shares) > 0):
            shares = list(self.shares)
            raise UsageError(f"shares: {shares} does not fit {len(self.of)} degradations.", "Give one for each.")

    def __call__(self, photo: Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        """See :class:`Degradation`."""
        shares = np.array(self.shares or (1,) * len(self.of))
        drawn: Degradation = self.of[rng.choice(len(self.of), p=shares / shares.sum())]
        return drawn(photo, box, rng)


def gray(degradation: Degradation, photo: Bytes, box: Box, rng: np.random.Generator) -> tuple[Bytes, NDArray[Any]]:
    """The patch without its colours, and its low-quality version, with as many equal channels as the photo has."""
    around = box.widened(CONTEXT, photo)
    plain, inner = photos.luma(around.cut(photo)), box.within(around)
    low = degradation(plain, inner, rng)
    return np.repeat(inner.cut(plain), photo.shape[2], axis=2), np.repeat(low, photo.shape[2], axis=2)


PARTS = {"chain": "steps", "mix": "of"}


def adapter() -> TypeAdapter[Part]:
    """Reads the options of any degradation that is known now."""
    return _adapter(tuple(KINDS.items()))


@cache
def _adapter(kinds: tuple[Any, ...]) -> TypeAdapter[Part]:
    return TypeAdapter(Made)


def from_options(options: Mapping[str, Any], scale: int) -> Degradation:
    """The degradation of a recipe, a single one or a combination: ``{type: chain, steps: [...]}``.

    Raises:
        UsageError: an option is unknown, missing or out of range; or the size is kept and the scale is not 1; or a
            chain reduces the photo in another step than the first.
    """
    kind = options.get("type", "bicubic")
    return _made(checked(adapter(), {"type": kind, **options}, f"degradation {kind}"), scale)


def _made(section: Part, scale: int) -> Degradation:
    kind = section.type
    given = {name: getattr(section, name) for name in section.model_fields_set - {"type"}}
    if part := PARTS.get(kind):
        given[part] = tuple(_parts(kind, given[part], scale))
    elif reduces(kind):
        given["scale"] = scale
    else:
        check_scale(kind, scale)
    return KINDS[kind](**given)


def _parts(kind: str, parts: tuple[Part, ...], scale: int) -> Iterator[Degradation]:
    for number, part in enumerate(parts):
        name = part.type
        if kind == "chain" and number and reduces(name):
            raise UsageError(f"The degradation {name} is not the first of its chain.", "Reduce the photo first.")
        yield _made(part, 1 if kind == "chain" and number else scale)
