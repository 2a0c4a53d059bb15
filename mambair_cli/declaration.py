"""How an option is declared, once and where it is used: its type with its range, its default and a line of text.

Two forms: a class of :class:`Section` with a docstring below each option, and any constructor with annotated parameters
and a docstring, of which :func:`from_signature` makes one. Schema, defaults and documentation come from them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    Strict,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    create_model,
    model_serializer,
)
from pydantic_core import CoreSchema

from .errors import UsageError
from .signatures import REQUIRED, Signature


class Section(BaseModel):
    """A mapping of a recipe: unknown keys and values of another type are mistakes."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True, protected_namespaces=()
    )

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is empty by default: BasicSR asks whether a key is there."""
        given = self.model_fields_set
        return {name: value for name, value in handler(self).items() if value is not None or name in given}


class Part(Section):
    """What a constructor takes; its own defaults need not be passed to it."""

    type: str
    """Name of what is constructed."""

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if name in self.model_fields_set}


class Free(Part):
    """A part whose options are not known."""

    model_config = ConfigDict(extra="allow")


def whole(value: Any) -> Any:
    """A float without fraction as int, because recipes write ``!!float 5e3`` for counts; the rest as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, Field(ge=0), BeforeValidator(whole)]
Positive = Annotated[int, Field(ge=1), BeforeValidator(whole)]
Above0 = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
AS_IT_IS = PlainSerializer(lambda value: value, return_type=Any)
Number = Annotated[float, WrapValidator(lambda value, check: (check(value), value)[1]), AS_IT_IS]
"""A number as it is written: 64 stays whole where a constructor wants that."""
Numbers = Annotated[list[Number], Field(min_length=1)]
Counts = Annotated[list[Count], Field(min_length=1)]


def listed(value: Any) -> Any:
    """One text stands for a list of it alone."""
    return [value] if isinstance(value, str) else value


Folders = Annotated[
    list[str],
    BeforeValidator(listed),
    Field(min_length=1),
    PlainSerializer(lambda folders: folders[0] if len(folders) == 1 else folders),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Template = Annotated[str, Field(pattern=r"\{\}")]

Range = tuple[float, float]
"""Lowest and highest."""


@dataclass(frozen=True)
class Within:
    """Annotation of a :data:`Range` within limits; a recipe gives a number, or a list of two."""

    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        number = {"type": "number", "minimum": self.low, "maximum": self.high}
        pair = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
        item = Annotated[float, Field(ge=self.low, le=self.high)]
        return handler.generate_schema(
            Annotated[
                list[item],
                BeforeValidator(_range),
                Field(min_length=2, max_length=2),
                AfterValidator(_rising),
                WithJsonSchema({"anyOf": [number, pair]}),
            ]
        )


def _range(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return [value, value] if isinstance(value, int | float) and not isinstance(value, bool) else value


def _rising(value: list[float]) -> Range:
    low, high = value
    if low > high:
        raise ValueError(f"a range is [low, high], write [{high:g}, {low:g}]")
    return low, high


@dataclass(frozen=True)
class Among:
    """Annotation of a tuple of some of ``names``; a recipe gives one of them, or a list."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        name: dict[str, Any] = {"enum": list(self.names)}
        shown = {"anyOf": [name, {"type": "array", "items": name, "minItems": 1}]}
        one = Annotated[str, Names(self.names)]
        some = Annotated[tuple[one, ...], Strict(False), Field(min_length=1)]
        return handler.generate_schema(Annotated[some, BeforeValidator(listed), WithJsonSchema(shown)])


@dataclass(frozen=True)
class Names:
    """Annotation of a text that must be one of ``names``."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(Literal[self.names])


@dataclass(frozen=True)
class OneOf:
    """Annotation of a mapping that one of the models describes, by its ``type``; any mapping if there are none.

    Attributes:
        models: gives the models there are, which plugins add to.
    """

    models: Callable[[], tuple[type[Section], ...]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        models = self.models()
        if not models:
            return handler.generate_schema(dict[str, Any])
        some: Any = reduce(or_, models)
        return handler.generate_schema(Annotated[some, Field(discriminator="type")])


UNWRITTEN = {"use_attribute_docstrings": False}
"""Of models that stand in no file: pydantic would look for their text among the callers of each, for seconds."""

Base = TypeVar("Base", bound=Section)


def model(name: str, options: Mapping[str, Any], doc: str, base: type[Base]) -> type[Base]:
    """A model called ``name`` for ``type: name`` with these options (annotation and default, as create_model's)."""
    options = {**options, "type": (Literal[name], ...)}
    return create_model(
        name, __base__=base, __doc__=doc.strip().split("\n")[0] or None, __cls_kwargs__=UNWRITTEN, **options
    )


def from_signature(signature: Signature, base: type[Part] = Part, **known: Any) -> type[Part]:
    """A model of what a constructor takes.

    Args:
        signature: of the constructor; a type that is not declared is that of the default.
        base: what the model shares with others.
        known: types by parameter, which count more.
    """
    hints = {**signature.hints, **known}
    options = {
        name: (
            listing(hints[name]) if name in hints else _kind(default),
            Field(... if default is REQUIRED else plain(default), description=signature.describe(name) or None),
        )
        for name, default in signature.defaults.items()
    }
    return model(signature.name, options, signature.doc, base)


def listing(hint: Any) -> Any:
    """A tuple's type for YAML, which has lists; one of a fixed length holds values of one kind."""
    if get_origin(hint) is tuple:
        of = get_args(hint)
        if of[-1] is ...:
            return Annotated[hint, Strict(False), Field(min_length=1)]
        item: Any = of[0]
        return Annotated[list[item], Field(min_length=len(of), max_length=len(of))]
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return Annotated[hint, Strict(False)] if get_origin(bare) is tuple else hint


def _kind(default: Any) -> Any:
    if isinstance(default, bool):
        return bool
    if isinstance(default, int | float):
        return Number
    if isinstance(default, tuple | list):
        return Numbers if all(isinstance(item, int | float) for item in default) else list[Any]
    return str if isinstance(default, str) else Any


def plain(default: Any) -> Any:
    """A default as YAML would have it; None if it has nothing like it."""
    if isinstance(default, tuple):
        return list(default)
    return default if isinstance(default, bool | int | float | str | list) else None


Model = TypeVar("Model")


def checked(kind: type[Model] | TypeAdapter[Model], given: Any, what: str) -> Model:
    """Options as their declaration reads them.

    Args:
        kind: a section, or an adapter of several.
        given: the options.
        what: they are of, for the message: ``degradation noise``.

    Raises:
        UsageError: something of them is wrong; the message names the first.
    """
    adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    tags = (str(part) for part in first["loc"])
    name = ".".join(tags) or "type"
    match first["type"]:
        case "extra_forbidden":
            sentence, hint = f"The {what} has no option {first['loc'][-1]!r}.", "Remove it."
        case "missing":
            sentence, hint = f"The {what} lacks {first['loc'][-1]!r}.", "Give it."
        case "union_tag_invalid":
            kinds = first["ctx"]["expected_tags"].replace("'", "")
            sentence, hint = f"There is no {what.split()[0]} {first['ctx']['tag']!r}.", f"Use one of {kinds}."
        case _:
            said = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
            sentence, hint = f"{name} is {first['input']!r} in the {what}.", f"{said[:1].upper()}{said[1:]}."
    raise UsageError(sentence, hint)
