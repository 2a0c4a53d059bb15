"""The reference page of recipes in Markdown, made from the declarations of their options."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .reading import json_schema

Schema = Mapping[str, Any]

CHOICES = {
    "network_g": "Networks",
    "datasets": "Data sets",
    "degradation": "Degradations",
    "pixel_opt": "Losses",
    "optim_g": "Optimisers",
    "scheduler": "Schedulers",
    "metrics": "Metrics",
}
"""Headings of the parts that are chosen by ``type``, by a key that chooses among them."""


def markdown() -> str:
    """Every key of a recipe with its type, default and meaning; plugins that are imported are in it."""
    schema = json_schema()
    parts: dict[str, Schema] = schema["$defs"]
    properties = dict(_keys(schema, parts))
    grouped = {
        heading: sorted(set(properties[key].get("discriminator", {}).get("mapping", {}).values()))
        for key, heading in CHOICES.items()
    }
    chosen = {reference for references in grouped.values() for reference in references}
    lines = [
        "# Recipes",
        "",
        "A recipe is a YAML file in BasicSR's layout. Unknown keys and values of another type are mistakes, named with "
        "line and column. `mambair train --schema` prints the same as JSON Schema, for editors.",
        "",
        "## The recipe",
        "",
        *_table(schema, parts),
    ]
    others = [name for name in parts if f"#/$defs/{name}" not in chosen]
    for name in others:
        lines += ["", f"### {name}", "", *_described(parts[name], parts)]
    for heading, references in grouped.items():
        lines += ["", f"## {heading}"]
        for reference in references:
            name = reference.rpartition("/")[2]
            lines += ["", f"### {name}", "", *_described(parts[name], parts)]
    return "\n".join(lines) + "\n"


def _keys(schema: Schema, parts: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """Keys of the recipe and its sections with what their values may be, whatever lies around that."""
    for section in (schema, *parts.values()):
        for name, value in section.get("properties", {}).items():
            found = _choice(value)
            if found is not None:
                yield name, found


def _choice(value: Schema) -> Schema | None:
    """The choice by ``type`` inside a value: alone, as one of several, or as the values of a mapping."""
    if "discriminator" in value:
        return value
    inside = [*value.get("anyOf", ()), value.get("additionalProperties")]
    return next((found for part in inside if isinstance(part, dict) and (found := _choice(part))), None)


def _described(part: Schema, parts: Mapping[str, Schema]) -> list[str]:
    text = part.get("description", "")
    return ([text, ""] if text else []) + _table(part, parts)


def _table(section: Schema, parts: Mapping[str, Schema]) -> list[str]:
    """One row per key; those that must be there have no default."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    required = section.get("required", ())
    for name, value in section.get("properties", {}).items():
        default = "" if name in required or "default" not in value else f"`{json.dumps(value['default'])}`"
        if "const" not in value or name != "type":
            meaning = value.get("description") or parts.get(_name(value), {}).get("description", "")
            rows.append(f"| `{name}` | {_kind(value)} | {default} | {_cell(meaning)} |")
    return rows if len(rows) > 2 else ["No options."]


def _name(value: Schema) -> str:
    """The part that a value refers to."""
    return str(value.get("$ref", "")).rpartition("/")[2]


def _kind(value: Schema) -> str:
    """The type of a value with its range, in a few words."""
    if "$ref" in value:
        return f"[{_name(value)}](#{_name(value).lower()})"
    if "discriminator" in value:
        return "mapping with `type`"
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value:
        kinds = [_kind(each) for each in value["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if value.get("type") == "array":
        return _list(value)
    if isinstance(value.get("additionalProperties"), dict):
        return f"mapping to {_kind(value['additionalProperties'])}"
    return f"{value.get('type', 'anything')}{_range(value)}"


def _list(value: Schema) -> str:
    """How many of what."""
    least, most = value.get("minItems"), value.get("maxItems")
    count = f"{most} of " if most is not None and least == most else ""
    return f"list of {count}{_kind(value.get('items', {}))}"


def _range(value: Schema) -> str:
    signs = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{word} {value[key]:g}" for key, word in signs.items() if key in value]
    return f", {', '.join(limits)}" if limits else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
