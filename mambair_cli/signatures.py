"""What a constructor takes, so that recipes can be checked against it: names, defaults, types and what they mean."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_type_hints

REQUIRED: Any = inspect.Parameter.empty
"""Default of a parameter without one."""


@dataclass(frozen=True)
class Signature:
    """A constructor.

    Attributes:
        name: under which recipes know it.
        defaults: by parameter; REQUIRED in place of a value, or something that is no plain value where it is computed.
        doc: docstring.
        swallows: takes any further option.
        keys: options that its module reads from dictionaries.
        bases: names of what it derives from.
        hints: types by parameter, where they are declared for recipes.
    """

    name: str
    defaults: dict[str, Any]
    doc: str = ""
    swallows: bool = False
    keys: frozenset[str] = frozenset()
    bases: tuple[str, ...] = ()
    hints: dict[str, Any] = field(default_factory=dict)

    def describe(self, parameter: str) -> str:
        """What the docstring says about a parameter, lines that go on further in included."""
        named = rf"^([ \t]*){parameter}\s*(?:\([^)\n]*\))?\s*:\s*"
        found = re.search(named + r"(.+(?:\n\1[ \t]+\S.*)*)", self.doc, re.MULTILINE)
        text = " ".join(found[2].split()) if found else ""
        return text[:1].upper() + text[1:]


def of(function: Callable[..., Any], name: str, without: tuple[str, ...] = (), hinted: bool = False) -> Signature:
    """Signature of something importable, without some of its parameters; with ``hinted`` its types count."""
    parameters = inspect.signature(function).parameters.values()
    kept = [p for p in parameters if p.name not in without and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    swallows = any(p.kind == p.VAR_KEYWORD for p in parameters)
    hints = _hints(function) if hinted else {}
    return Signature(name, {p.name: p.default for p in kept}, inspect.getdoc(function) or "", swallows, hints=hints)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(vars(function)["__init__"] if isinstance(function, type) else function, include_extras=True)
