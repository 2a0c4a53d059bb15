"""Mistakes in a recipe, each with its place, and the error that holds them all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from ...errors import MambairError

Path = tuple[str | int, ...]
"""Where a value is in the recipe: ``("train", "scheduler", "milestones", 2)``."""


@dataclass(frozen=True, order=True)
class Location:
    """Where a value is in the source; line and column count from 1.

    In an override, ``file`` is its text, ``line`` is 0, and ``column`` the character.
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else f"{self.file}, character {self.column}"


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong.

    Attributes:
        place: where.
        message: what, naming the key and the offending value.
        path: the keys that lead to it; empty for mistakes of syntax.
        value: the offending value, as read.
        suggestion: what to write instead, a sentence, or empty.
    """

    place: Location
    message: str
    path: Path = ()
    value: Any = None
    suggestion: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}." + (f" {self.suggestion}" if self.suggestion else "")


class RecipeError(MambairError):
    """A recipe cannot be used.

    Attributes:
        mistakes: all of them, in the order of the file, overrides last.
    """

    exit_code = 2

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: (mistake.place.file != source, mistake.place)))
        lines = "\n".join(f"  {mistake}" for mistake in self.mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__(
            f"{source} cannot be used, it has {count}:\n{lines}",
            "Correct what is listed; nothing has been started or written.",
        )


def dotted(path: Path) -> str:
    """A path as it is written in overrides and messages."""
    return ".".join(map(str, path)) or "the recipe"


def shown(value: Any) -> str:
    """A value as a message shows it, never longer than a line."""
    if isinstance(value, dict):
        return "a mapping"
    if value is None:
        return "empty"
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def nearest(word: object, known: Iterable[str]) -> str | None:
    """The known word closest to ``word``, if one is close at all."""
    candidates = {candidate.lower(): candidate for candidate in known}
    near = get_close_matches(str(word).lower(), candidates, n=1)
    return candidates[near[0]] if near else None


def suggest(word: object, known: Iterable[str]) -> str:
    """A sentence with the closest known word, else with all of them."""
    known = list(known)
    near = nearest(word, known)
    return f"Did you mean {near!r}?" if near else f"Known: {', '.join(sorted(known))}."
