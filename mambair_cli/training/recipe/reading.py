"""Reading a recipe: BasicSR's YAML, checked in full before anything starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...weights import catalog
from .locations import override, read
from .mistakes import Mistake, RecipeError, nearest

__all__ = ["Recipe", "RecipeError", "json_schema", "packaged", "read_recipe"]


@dataclass(frozen=True)
class Recipe:
    """A recipe without mistakes.

    Attributes:
        path: the file.
        options: what BasicSR's parse_options would make of it, defaults and overrides applied; folders and files are
            as written, relative to the data root, but for weights named as in the catalogue.
        text: the file's content.
        notes: what was understood differently from how it is written, one sentence with a place for each.
    """

    path: Path
    options: dict[str, Any]
    text: str
    notes: tuple[str, ...] = ()


def packaged() -> dict[str, Path]:
    """Recipes that install with the package, by name: ``options/lightSR_x2.yml``."""
    folder = Path(str(files("mambair_options")))
    return {f"options/{path.relative_to(folder).as_posix()}": path for path in sorted(folder.rglob("*.yml"))}


def find(path: str | Path) -> Path:
    """The file of a recipe: in the working folder, else among the packaged ones.

    Raises:
        UsageError: there is none.
    """
    path = Path(path)
    if path.is_file():
        return path
    known = packaged()
    for name in (path.as_posix(), f"options/{path.as_posix()}"):
        for candidate in (name, f"{name}.yml"):
            if candidate in known:
                return known[candidate]
    kind = "is a folder" if path.is_dir() else "does not exist"
    near = nearest(path.as_posix(), known)
    names = ", ".join(path.stem for name, path in known.items() if not name.startswith("options/test/"))
    hint = f"Did you mean {near}?" if near else f"Packaged recipes: {names}; most also as options/test/NAME."
    raise UsageError(f"The recipe {path} {kind}.", hint)


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a file, or the name of a packaged recipe.
        overrides: ``key.sub=value``, the value in YAML; later ones win.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        RecipeError: the recipe or an override is wrong; holds all mistakes.
    """
    from . import checking, messages, published

    found = find(path)
    source = str(path) if Path(path).is_file() else str(found)
    text = _text(found)
    document = read(text, source)
    if not isinstance(document.data, dict):
        if not document.mistakes:
            document.mistakes.append(Mistake(document.place(()), "a recipe is a mapping with keys such as 'name'"))
        raise RecipeError(source, document.mistakes)
    for each in overrides:
        override(document, each)
    notes = published.translate(document)
    wrong = [*document.mistakes, *messages.mistakes(document)]
    wrong += checking.mistakes(document, {mistake.path for mistake in wrong})
    if wrong:
        raise RecipeError(source, wrong)
    return Recipe(found, _completed(document.data), text, tuple(notes))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The recipe {path} is not text in UTF-8: byte {error.start} is wrong.", "Save it so."
        ) from None
    except OSError as error:
        raise UsageError(f"The recipe {path} cannot be read ({error.strerror}).", "Check its permissions.") from None


def _completed(options: dict[str, Any]) -> dict[str, Any]:
    """With the keys that BasicSR reads without asking whether they are there."""
    options.setdefault("scale", 1)
    options.setdefault("num_gpu", "auto")
    options.setdefault("manual_seed", 0)
    for name in ("path", "logger"):
        options[name] = options.get(name) or {}
    for name, value in options["path"].items():
        if name.startswith("pretrain_network") and value and (entry := catalog.by_name(value)):
            options["path"][name] = str(entry.path.absolute())
    options["logger"] = {"print_freq": 100, "save_checkpoint_freq": 5000, "use_tb_logger": False} | options["logger"]
    if options.get("val"):
        options["val"] = {"save_img": False, "suffix": None} | options["val"]
    for name, dataset in options["datasets"].items():
        dataset |= {"phase": name.split("_")[0], "scale": options["scale"]}
        if dataset["type"] == "PairedImageDataset":
            dataset.setdefault("io_backend", {"type": "disk"})
            dataset.setdefault("use_hflip", True)
            dataset.setdefault("use_rot", True)
        dataset.setdefault("num_worker_per_gpu", 0)
    return options


def json_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, for editors."""
    from .schema import json_schema

    return json_schema()
