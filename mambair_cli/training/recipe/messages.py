"""What the schema finds, in sentences with a place and a suggestion."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import ValidationError

from ..basicsr import signatures
from . import components
from .locations import Document
from .mistakes import Mistake, Path, dotted, nearest, shown, suggest
from .schema import PLAIN_MODELS, Paths, Procedure, RecipeModel, Train, Val, adapter, json_schema

WANTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
LIMITS = {"greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than"}
LIMITS["less_than_equal"] = "at most"


def validated(document: Document) -> tuple[RecipeModel | None, list[Mistake]]:
    """The recipe, or all that the schema has to say about it, but for what could not be read."""
    found: list[tuple[Path, Any]] = [
        (path, {"type": "extra_forbidden", "input": None}) for path in _unknown(document.data)
    ]
    recipe = None
    try:
        recipe = adapter().validate_python(document.data)
    except ValidationError as error:
        found += [(_path(each["loc"], document.data), each) for each in error.errors(include_url=False)]
    return (None if found else recipe), list(_told(found, document))


def _unknown(data: dict[str, Any]) -> Iterator[Path]:
    """Keys that neither the schema nor the chosen model of BasicSR knows."""
    kind, models = str(data.get("model_type")), signatures.registered("models")
    more = frozenset[str]()
    if kind in models and kind not in PLAIN_MODELS:
        more = more.union(*(model.keys for model in models.values()))
    for path in ((), ("train",), ("val",), ("path",)):
        section = data.get(path[0]) if path else data
        known = PROCEDURES[path].model_fields.keys() | more
        yield from ((*path, name) for name in (section if isinstance(section, dict) else ()) if name not in known)


PROCEDURES: dict[Path, type[Procedure]] = {(): RecipeModel, ("train",): Train, ("val",): Val, ("path",): Paths}


def _told(found: list[tuple[Path, Any]], document: Document) -> Iterator[Mistake]:
    typos = {(path[:-1], nearest(path[-1], _keys(path[:-1], document.data))) for path, each in found if _extra(each)}
    for path, each in found:
        renamed = each["type"] in ("missing", "union_tag_not_found") and _absent(path, each) in typos
        if not renamed and not any(path[: len(known)] == known for known in document.unread):
            yield _mistake(path, each, document)


def _extra(error: Any) -> bool:
    return bool(error["type"] == "extra_forbidden")


def _absent(path: Path, error: Any) -> tuple[Path, Any]:
    return (path[:-1], path[-1]) if error["type"] == "missing" else (path, "type")


def _path(loc: tuple[str | int, ...], data: Any) -> Path:
    """The keys of a location: Pydantic also puts the chosen type there."""
    path: Path = ()
    for part in loc:
        if isinstance(data, dict) and part not in data and part == data.get("type"):
            continue
        path += (part,)
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
    return path


def _mistake(path: Path, error: Any, document: Document) -> Mistake:
    kind = error["type"]
    if kind == "extra_forbidden":
        known = _keys(path[:-1], document.data)
        what, place = f"unknown key {path[-1]!r} in {dotted(path[:-1])}", document.place(path, key=True)
        value = document.at(path)
        return Mistake(place, what, path, value, _where_known(path) or suggest(path[-1], known))
    if kind in ("missing", "union_tag_not_found"):
        parent, name = _absent(path, error)
        about = _schema((*parent, name), document.data).get("description", "")
        place = document.place(parent, key=True)
        return Mistake(place, f"{dotted(parent)} lacks {name!r}", (*parent, name), None, about)
    what, hint = _wrong(path, error)
    value = error["input"]
    if kind == "union_tag_invalid":
        path = (*path, "type")
        value = error["ctx"]["tag"]
    return Mistake(document.place(path), what, path, value, hint)


def _wrong(path: Path, error: Any) -> tuple[str, str]:
    """Sentence and suggestion for a value that cannot be."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    name, is_ = dotted(path), f"{dotted(path)} is {shown(value)}"
    if kind == "union_tag_invalid":
        what = f"{name}.type is {shown(context['tag'])}, no {_room(path)} has this name"
        return what, suggest(context["tag"], _quoted(context["expected_tags"])) + _perhaps_basicsr(path)
    if kind == "literal_error":
        return f"{is_}, which is not known", suggest(value, _quoted(context["expected"]))
    if kind in WANTED:
        return f"{is_}, expected {WANTED[kind]}", _cast(kind, value)
    if kind == "string_pattern_mismatch":
        return f"{is_}, which makes all names alike", "Put {} where the name of the clean image goes."
    if kind in LIMITS:
        return f"{is_}, expected {LIMITS[kind]} {next(iter(context.values()))}", ""
    if kind in ("too_short", "too_long"):
        limit = context.get("min_length", context.get("max_length"))
        few = "at least" if kind == "too_short" else "at most"
        return f"{name} has {context['actual_length']} entries, expected {few} {limit}", ""
    return f"{is_}: {error['msg'][:1].lower()}{error['msg'][1:]}", ""


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _perhaps_basicsr(path: Path) -> str:
    own = _room(path) in ("degradation", "optimiser", "scheduler")
    return "" if own or signatures.basicsr_folder() else " BasicSR, which may, is not installed."


def _room(path: Path) -> str:
    rooms = {"network": "network", "optim": "optimiser", "scheduler": "scheduler", "io_backend": "backend"}
    for start, room in rooms.items():
        if str(path[-1]).startswith(start):
            return room
    if path[0] == "datasets":
        return "degradation" if "degradation" in path else "dataset"
    return "metric" if "metrics" in path else "loss"


def _cast(kind: str, value: Any) -> str:
    """How to write what was probably meant."""
    if isinstance(value, str) and kind in ("float_type", "int_type"):
        try:
            number = float(value)
        except ValueError:
            return "Write it as 0.0002 or 2e-4." if kind == "float_type" else ""
        return f"Write {number:g} without quotes."
    if kind == "string_type" and not isinstance(value, dict | list) and value is not None:
        return "Put it in quotes."
    if kind in ("list_type", "tuple_type") and isinstance(value, int | float):
        return f"Write [{value}]."
    if kind == "bool_type" and str(value).lower() in ("yes", "no", "on", "off", "0", "1", "true", "false"):
        return f"Write {'true' if str(value).lower() in ('yes', 'on', '1', 'true') else 'false'}."
    return ""


def _exported() -> dict[str, Any]:
    return _schema_of(components.count())


@cache
def _schema_of(count: int) -> dict[str, Any]:
    return json_schema()


def _schema(path: Path, data: Any) -> dict[str, Any]:
    """The part of the JSON Schema that describes ``path``, given the types chosen in the data."""
    node = _exported()
    for part in path:
        node = _resolved(node, data)
        listed = node.get("items") if isinstance(part, int) else node.get("additionalProperties")
        node = node.get("properties", {}).get(part) or (listed if isinstance(listed, dict) else {})
        data = data.get(part) if isinstance(data, dict) else None
    return _resolved(node, data) | {key: node[key] for key in ("description",) if key in node}


def _resolved(node: dict[str, Any], data: Any) -> dict[str, Any]:
    """The object that a node refers to, alternatives decided."""
    while True:
        if "$ref" in node:
            node = _exported()["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        elif "discriminator" in node:
            mapping = node["discriminator"]["mapping"]
            chosen = data.get("type") if isinstance(data, dict) else None
            node = {"$ref": mapping[chosen]} if chosen in mapping else {"properties": {"type": {}}}
        elif "anyOf" in node:
            node = next((one for one in node["anyOf"] if one.get("type") != "null"), {})
        else:
            return node


def _keys(path: Path, data: Any) -> list[str]:
    """Keys that the schema knows at ``path``."""
    return sorted(_schema(path, data).get("properties", {}))


def _where_known(path: Path) -> str:
    """A sentence if the key belongs to another section."""
    homes = {name: key for key in ("train", "val", "logger", "path") for name in _keys((key,), {})}
    homes |= dict.fromkeys(_keys((), {}), "")
    home = homes.get(str(path[-1]))
    if home is None or len(path) > 2:
        return ""
    return f"It belongs to {home}." if home else "It belongs to the top level."
