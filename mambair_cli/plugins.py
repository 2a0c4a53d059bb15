"""Parts of a user's own, in modules that they name: networks, losses, metrics, data sets, degradations, file formats.

A module makes its parts known while it is imported, with the functions of this one. Recipes, the schema, the commands
and BasicSR's registries then know them by their names; ``docs/plugins.md`` has an example of each.
"""

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

from mambair_archs.registry import add as network
from mambair_archs.registry import architecture

from .data.datasets import Loaded, dataset
from .data.degradations import degradation
from .errors import UsageError
from .images.formats import Format
from .images.formats import add as image_format
from .training.losses import loss, metric

__all__ = [
    "Format",
    "Loaded",
    "architecture",
    "dataset",
    "degradation",
    "image_format",
    "load",
    "loss",
    "metric",
    "network",
]

VARIABLE = "MAMBAIR_PLUGINS"
"""Names of modules, which processes that this one starts load too."""


def load(names: Iterable[str], beside: Path | None = None) -> None:
    """Import modules of parts, each once.

    Args:
        names: of modules (``my_parts``), or of files (``parts/my_parts.py``).
        beside: folder to look in before the working folder and the installed modules.

    Raises:
        UsageError: there is no such module, or it cannot be imported.
    """
    for name in names:
        file = Path(name).expanduser()
        named = file.suffix == ".py"
        module = file.stem if named else name
        for folder in [file.parent] if named else [Path.cwd(), *([beside] if beside else [])]:
            if (place := str(folder.resolve())) not in sys.path:
                sys.path.insert(0, place)
        _load(name, module)
        known = os.environ.get(VARIABLE, "").split()
        written = str(file.resolve()) if named else name
        if written not in known:
            os.environ[VARIABLE] = " ".join([*known, written])


def inherited() -> None:
    """Load what the process that started this one has loaded."""
    load(os.environ.get(VARIABLE, "").split())


def _load(name: str, module: str) -> None:
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module.partition(".")[0] or error.name == module:
            raise UsageError(
                f"The plugin {name} does not exist.",
                "Name a .py file, or a module in this folder or beside the recipe.",
            ) from None
        raise UsageError(f"The plugin {name} needs {error.name}, which is not installed.", "Install it.") from error
    except Exception as error:
        raise UsageError(
            f"The plugin {name} cannot be imported: {type(error).__name__}: {error}.",
            "Correct it; --verbose shows where.",
        ) from error
