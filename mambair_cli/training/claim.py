"""One run at a time in one experiment, and what each run was made of."""

import datetime
import json
import platform
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from ..errors import UsageError
from ..files import atomic, locks
from .recipe.reading import Recipe

RUNS, RECIPE = "runs.jsonl", "recipe.yml"
PACKAGES = ("mambair", "torch", "basicsr", "numpy", "opencv-python-headless", "opencv-python")

PATIENCE = 15.0
"""Seconds for the loading processes of a killed run to notice that it is gone; they hold its lock until then."""


@contextmanager
def claimed(experiment: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Hold an experiment against other runs; the system lets go of it when the process ends, however it ends.

    Raises:
        UsageError: another run holds it.
    """
    experiment.parent.mkdir(parents=True, exist_ok=True)
    path = experiment.with_name(f".{experiment.name}.lock")  # beside it: it may be moved away

    def waiting() -> None:
        note(f"{experiment} is in use; waiting up to {PATIENCE:.0f} seconds for it.")

    with locks.held(path, PATIENCE, waiting) as free:
        if not free:
            raise UsageError(
                f"Another run is training in {experiment}.", "Wait for its end, or give this one a name: name=other."
            )
        yield


def record(experiment: Path, recipe: Recipe, iteration: int) -> None:
    """Add a run to ``runs.jsonl``, and leave its recipe as ``recipe.yml``, ready to be trained again.

    Args:
        experiment: its folder.
        recipe: as read, overrides applied.
        iteration: after which the run goes on.
    """
    experiment.mkdir(parents=True, exist_ok=True)
    row = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "iter": iteration,
        "recipe": str(recipe.path),
        "overrides": list(recipe.overrides),
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": commit(Path(__file__)),
        "platform": platform.platform(),
        "resolved": recipe.options,
    }
    with (experiment / RUNS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    said = recipe.model.model_dump(mode="json", exclude_unset=True, warnings="none")
    atomic.write(experiment / RECIPE, yaml.safe_dump(said, sort_keys=False))


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit(file: Path) -> str | None:
    """The commit of the checkout that tracks ``file``, with ``+`` if something in it has changed; None elsewhere."""
    if _git(file, "ls-files", "--error-unmatch", file.name) is None:
        return None
    number, changed = _git(file, "rev-parse", "HEAD"), _git(file, "status", "--porcelain", "--untracked-files=no")
    return f"{number}+" if changed else number


def _git(file: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=file.parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
