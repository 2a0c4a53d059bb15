"""``mambair`` for recipes as plain YAML, without the checks of recipes: python program.py train RECIPE ..."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml


@dataclass(frozen=True)
class Recipe:
    path: Path
    options: dict[str, Any]
    text: str


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    text = Path(path).read_text(encoding="utf-8")
    options = yaml.safe_load(text)
    for override in overrides:
        key, _, value = override.partition("=")
        *parents, last = key.split(".")
        place = options
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = yaml.safe_load(value)
    return Recipe(Path(path), options, text)


def stand_in() -> None:
    """Recipes are read by :func:`read_recipe` from now on."""
    module = ModuleType("mambair_cli.training.recipe")
    module.read_recipe = read_recipe  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module


if __name__ == "__main__":
    stand_in()
    from mambair_cli.entry import main

    main()
