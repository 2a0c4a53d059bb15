"""Reading a recipe: BasicSR's YAML, checked in full before anything starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from .locations import Document, override, read
from .mistakes import Mistake, RecipeError, nearest
from .view import View

if TYPE_CHECKING:
    from .schema import RecipeModel

__all__ = ["Recipe", "RecipeError", "json_schema", "packaged", "read_recipe"]


@dataclass(frozen=True)
class Recipe:
    """A recipe without mistakes.

    Attributes:
        path: the file.
        model: what it says, overrides applied.
        text: the file's content.
        overrides: as given.
        notes: what was understood differently from how it is written, one sentence with a place for each.
    """

    path: Path
    model: "RecipeModel"
    text: str
    notes: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @cached_property
    def options(self) -> dict[str, Any]:
        """See :func:`resolving.plain`."""
        from .resolving import plain

        return plain(self.model)


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
    from . import checking, foreign, idle, messages, published

    found = find(path)
    source = str(path) if Path(path).is_file() else str(found)
    text = _text(found)
    foreign.refuse_text(found, text)
    document = read(text, source)
    if not isinstance(document.data, dict):
        if not document.mistakes:
            document.mistakes.append(Mistake(document.place(()), "a recipe is a mapping with keys such as 'name'"))
        raise RecipeError(source, document.mistakes)
    for each in overrides:
        override(document, each)
    foreign.refuse(found, document.data)
    _load_plugins(document, found.parent)
    notes = published.translate(document)
    model, found_wrong = messages.validated(document)
    wrong = [*document.mistakes, *found_wrong]
    wrong += checking.mistakes(document, {mistake.path for mistake in wrong})
    if wrong or model is None:
        raise RecipeError(source, wrong)
    if without_effect := idle.note(View(document.data)):
        notes.append(f"{source}: {without_effect}")
    return Recipe(found, model, text, tuple(notes), tuple(overrides))


def _load_plugins(document: Document, beside: Path) -> None:
    """Before anything is checked: they say what there is to choose from."""
    from ... import plugins

    names = document.data.get("plugins")
    for number, name in enumerate(names if isinstance(names, list) else []):
        if isinstance(name, str):
            try:
                plugins.load([name], beside)
            except UsageError as error:
                path = ("plugins", number)
                wrong = Mistake(document.place(path), error.message.rstrip("."), path, name, error.hint)
                document.mistakes.append(wrong)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"The recipe {path} is not text in UTF-8: byte {error.start} is wrong.", "Save it so."
        ) from None
    except OSError as error:
        raise UsageError(f"The recipe {path} cannot be read ({error.strerror}).", "Check its permissions.") from None


def json_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, for editors."""
    from .schema import json_schema

    return json_schema()
