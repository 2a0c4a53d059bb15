"""How a recipe has low-quality images made."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from ...data.depth import DEPTHS
from .components import OneOf, Section

Probability = Annotated[float, Field(ge=0, le=1)]


def listed(value: Any) -> Any:
    """One text stands for a list of it alone."""
    return [value] if isinstance(value, str) else value


def _range(value: Any) -> Any:
    """One number stands for a range of that number alone."""
    return [value, value] if isinstance(value, int | float) and not isinstance(value, bool) else value


def span(low: float, high: float) -> Any:
    """A number, or a list of two, within limits."""
    number = {"type": "number", "minimum": low, "maximum": high}
    pair = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
    item = Annotated[float, Field(ge=low, le=high)]
    return Annotated[
        list[item],
        BeforeValidator(_range),
        Field(min_length=2, max_length=2),
        WithJsonSchema({"anyOf": [number, pair]}),
    ]


def _some_of(*names: str) -> Any:
    """One of the names, or a list of them."""
    name: dict[str, Any] = {"enum": list(names)}
    return Annotated[
        list[Literal[names]],  # type: ignore[valid-type]  # built from values
        BeforeValidator(listed),
        Field(min_length=1),
        WithJsonSchema({"anyOf": [name, {"type": "array", "items": name, "minItems": 1}]}),
    ]


class NoDegradation(Section):
    """The photo as it is."""

    type: Literal["none"]


class Bicubic(Section):
    """Reduced by the recipe's scale as MATLAB does."""

    type: Literal["bicubic"]


class Noise(Section):
    """Gaussian noise."""

    type: Literal["noise"]

    sigma: span(0, 255)  # type: ignore[valid-type]
    """Standard deviation in levels of 8 bits: a number, or [low, high]."""

    gray_probability: Probability = 0.0
    """How often all channels get the same noise."""

    shot: span(0, 1) = 0  # type: ignore[valid-type]
    """Share of the variance that grows with brightness."""

    clip_probability: Probability = 0.0
    """How often the result is clipped and rounded, as in a file."""


class Jpeg(Section):
    """JPEG compression."""

    type: Literal["jpeg"]

    quality: span(1, 100)  # type: ignore[valid-type]
    """1 to 100: a number, or [low, high]."""

    subsampling: _some_of("4:4:4", "4:2:0") = "4:4:4"  # type: ignore[valid-type]
    """Ways of storing colours, drawn from evenly."""

    shifted: bool = True
    """Whether blocks start anywhere in the patch, as in a patch of a compressed photo."""


class Haze(Section):
    """Haze by atmospheric scattering."""

    type: Literal["haze"]

    beta: span(0, 20) = (0.4, 2.5)  # type: ignore[valid-type]
    """Scattering over the whole depth: 0.5 is thin, 3 thick."""

    airlight: span(0, 1) = (0.6, 1.0)  # type: ignore[valid-type]
    """Brightness of the haze."""

    tint: Probability = 0.05
    """How far a colour of the airlight may be from its brightness."""

    depth: _some_of(*DEPTHS) = tuple(DEPTHS)  # type: ignore[valid-type]
    """Kinds of depth field, drawn from evenly."""

    standing_probability: Probability = 0.0
    """How often things stand in the scene, with edges where the picture has some."""

    clear_probability: Probability = 0.0
    """How often there is no haze."""

    sigma: span(0, 255) = 0  # type: ignore[valid-type]
    """Noise of the camera in levels of 8 bits: a number, or [low, high]."""

    quality: span(1, 100) = 100  # type: ignore[valid-type]
    """Of the JPEG file: a number, or [low, high]."""

    jpeg_probability: Probability = 0.0
    """How often the hazy picture has been a JPEG file."""


SINGLE = (NoDegradation, Noise, Jpeg, Haze)


class Chain(Section):
    """One after the other, each stored in 8 bits before the next."""

    type: Literal["chain"]

    steps: Annotated[list[Annotated[Any, OneOf((*SINGLE, Bicubic))]], Field(min_length=1)]
    """Degradations in their order; only the first may be bicubic."""


class Mix(Section):
    """One of several for each patch."""

    type: Literal["mix"]

    of: Annotated[list[Annotated[Any, OneOf((*SINGLE, Bicubic, Chain))]], Field(min_length=1)]
    """Degradations to draw from."""

    shares: list[Annotated[float, Field(ge=0)]] | None = None
    """How often each is drawn, in relation to the others; by default all evenly."""


Degradation = Annotated[Any, OneOf((*SINGLE, Bicubic, Chain, Mix))]
