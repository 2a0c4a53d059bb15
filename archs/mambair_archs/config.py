"""Shared handling of network configurations: frozen, keyword-only dataclasses that refuse unknown names."""

from collections.abc import Mapping
from dataclasses import Field, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, get_type_hints

from torch import Tensor

StateDict = Mapping[str, Tensor]
ConfigT = TypeVar("ConfigT")


class InferenceError(ValueError):
    """A state_dict does not determine a configuration; the message names the key at fault."""


def option(default: ConfigT, text: str) -> ConfigT:
    """A field of a configuration: its default, and one line on what it means."""
    made: ConfigT = field(default=default, metadata={"text": text})
    return made


def options(config: type[Any]) -> dict[str, "Field[Any]"]:
    """The fields of a configuration by name."""
    return {each.name: each for each in fields(config)}


def text(of: "Field[Any]") -> str:
    """The line on what a field made by :func:`option` means."""
    line: str = of.metadata["text"]
    return line


def create(config: type[ConfigT], given: Mapping[str, Any]) -> ConfigT:
    """``config(**given)``, lists made tuples.

    Raises:
        TypeError: an option is unknown; the message suggests the nearest known name.
        ValueError: a value is out of range.
    """
    known, hints = list(options(config)), get_type_hints(config)
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            raise TypeError(f"{config.__name__.removesuffix('Config')} has no option {name!r}{hint}")
    return config(**{name: _converted(hints[name], value) for name, value in given.items()})


def _converted(hint: Any, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    nested = isinstance(hint, type) and is_dataclass(hint) and isinstance(value, Mapping)
    return create(hint, value) if nested else value


def shape(state_dict: StateDict, key: str, dims: int) -> tuple[int, ...]:
    """Shape of a tensor that must be there, with ``dims`` dimensions and no empty one.

    Raises:
        InferenceError: the key is missing, or its tensor cannot be right.
    """
    if key not in state_dict:
        raise InferenceError(f"{key} is missing")
    found = tuple(state_dict[key].shape)
    if len(found) != dims or 0 in found:
        raise InferenceError(f"{key} is {found} instead of {dims} dimensions of at least 1")
    return found


def count(state_dict: StateDict, prefix: str) -> int:
    """How many consecutive indices 0, 1, ... follow ``prefix`` in the keys."""
    indices = {key[len(prefix) :].split(".", 1)[0] for key in state_dict if key.startswith(prefix)}
    number = 0
    while str(number) in indices:
        number += 1
    return number


def ratio(part: int, whole: int) -> float:
    """A multiplier m with ``int(whole * m) == part``, the roundest there is."""
    for digits in range(1, 7):
        candidate = round(part / whole, digits)
        if int(whole * candidate) == part:
            return candidate
    return (part + 0.5) / whole


def divisor(whole: int, part: int, usual: int) -> int:
    """A divisor d with ``whole // d == part``: ``usual`` if it fits, else the largest.

    Raises:
        InferenceError: there is none.
    """
    if part > 0 and whole // usual == part:
        return usual
    if part > 0 and whole // (whole // part) == part:
        return whole // part
    raise InferenceError(f"{part} hidden channels cannot come from {whole} channels")
