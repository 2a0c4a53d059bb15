"""What BasicSR's constructors take, read from its source files without importing it.

Importing BasicSR takes seconds and needs what ``before_import`` puts in place; a recipe should be checked without
either.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...signatures import REQUIRED, Signature

UNKNOWN: Any = object()
"""Default that is computed, so that nothing is known about its type."""

KEY_READ = re.compile(r"""(?:opt|\]) (?:\[|\.get\()['"](\w+)['"] | ['"](\w+)['"]\ in\ (?:self\.)?opt\b""", re.VERBOSE)
"""Source text that reads an option from a dictionary: opt["x"], opt["train"].get("x"), "x" in self.opt."""


def basicsr_folder() -> Path | None:
    """Folder of the installed BasicSR, or None."""
    spec = find_spec("basicsr")
    return Path(spec.origin).parent if spec and spec.origin else None


@cache
def registered(room: str) -> dict[str, Signature]:
    """What BasicSR registers in one of its rooms: archs, data, losses, metrics or models. Empty if not installed."""
    folder = basicsr_folder()
    if folder is None:
        return {}
    return {found.name: found for file in sorted((folder / room).glob("*.py")) for found in _module(file)}


def model_keys(kind: str) -> frozenset[str]:
    """Options that a model and those that it derives from read."""
    known = registered("models")
    if kind not in known:
        return frozenset()
    return known[kind].keys.union(*(model_keys(base) for base in known[kind].bases))


def _module(file: Path) -> Iterator[Signature]:
    source = file.read_text(encoding="utf-8")
    keys = frozenset(name for match in KEY_READ.findall(source) for name in match if name)
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and (name := _registered_name(node)):
            yield _signature(node, name, keys)


def _registered_name(node: ast.ClassDef | ast.FunctionDef) -> str | None:
    for decorator in node.decorator_list:
        call = decorator.func if isinstance(decorator, ast.Call) else None
        if isinstance(call, ast.Attribute) and ast.unparse(call).endswith("_REGISTRY.register"):
            return node.name
    return None


def _signature(node: ast.ClassDef | ast.FunctionDef, name: str, keys: frozenset[str]) -> Signature:
    doc = ast.get_docstring(node) or ""
    if isinstance(node, ast.FunctionDef):
        return Signature(name, _defaults(node.args), doc, node.args.kwarg is not None, keys)
    bases = tuple(ast.unparse(base) for base in node.bases)
    for member in node.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            defaults = _defaults(member.args)
            del defaults["self"]
            return Signature(name, defaults, doc, member.args.kwarg is not None, keys, bases)
    return Signature(name, {}, doc, swallows=True, keys=keys, bases=bases)


def _defaults(arguments: ast.arguments) -> dict[str, Any]:
    positional = arguments.posonlyargs + arguments.args
    defaults: list[Any] = [REQUIRED] * (len(positional) - len(arguments.defaults))
    defaults += [_literal(default) for default in arguments.defaults]
    found = {argument.arg: default for argument, default in zip(positional, defaults, strict=True)}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found[argument.arg] = REQUIRED if default is None else _literal(default)
    return found


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return UNKNOWN
