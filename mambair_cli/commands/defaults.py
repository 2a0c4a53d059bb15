"""Which model a command takes, and whether it fits."""

import difflib
import os
from typing import TYPE_CHECKING

from ..console import Console
from ..errors import ModelError, UsageError

if TYPE_CHECKING:
    from ..restoration.choices import Choices
    from ..weights.catalog import CatalogEntry
    from ..weights.model import Model


def known_model(name: str) -> str:
    """A file or a name of the catalogue; refuses what looks like a mistyped name."""
    from ..weights import catalog

    if not name:
        raise ModelError("A model without a name was given.", "Give a name or a file, or leave out --model.")
    if catalog.by_name(name) is None and not os.path.lexists(name):
        close = difflib.get_close_matches(name, [entry.name for entry in catalog.entries()], n=1, cutoff=0.8)
        if close:
            raise ModelError(f"There is no model {name}.", f"Did you mean {close[0]}? See mambair models list.")
    return name


FAST, BEST = "fast", "best"


def chosen_model(console: Console, task: str, scale: float | None, to_size: bool, given: str | None) -> str:
    """The model that a command takes: a name, a file, or a word for one of those that are installed.

    ``fast`` is the one that takes the least time, ``best`` the one with the highest published score; both enlarge as
    much as the default one does.

    Raises:
        UsageError: no model enlarges that much.
        ModelError: there is no such model.
    """
    if given is None:
        return default_model(task, scale, to_size)
    if given not in (FAST, BEST):
        return known_model(given)
    from ..weights import catalog

    first = catalog.by_name(default_model(task, scale, to_size))
    assert first is not None
    known = [entry for entry in catalog.select(task, first.scale) if not entry.instead_of]
    installed = [entry for entry in known if entry.installed]
    if given == FAST:
        return min(installed, key=lambda entry: entry.seconds or float("inf")).name
    where = next(iter(first.psnr))
    best = max(installed, key=lambda entry: entry.psnr.get(where, 0.0))
    better = next((entry for entry in known if entry.psnr.get(where, 0.0) > best.psnr[where]), None)
    if better:
        scores = f"{better.psnr[where]:.2f} dB on {where} against {best.psnr[where]:.2f}"
        console.note(f"{best.name} is the best model that is installed. {better.name} has {scores}: {better.download}")
    return best.name


def default_model(task: str, scale: float | None, to_size: bool = False) -> str:
    """The first model of the catalogue for the task that is installed, and enlarges at least ``scale`` times.

    Those that come with the package are the first, so that some is always there. One that enlarges just as much comes
    before one whose result has to be reduced. When pictures are to get a size (``to_size``), which can be far from
    theirs, it is the one that enlarges most.

    Raises:
        UsageError: no model enlarges that much.
    """
    from ..weights import catalog

    known = _fitting(task, scale, to_size)
    if not known:
        offered = ", ".join(str(scale) for scale in sorted({entry.scale for entry in catalog.select(task)}))
        raise UsageError(f"No known model enlarges {scale:g} times.", f"Use --scale {offered}, or --model FILE.")
    return next((entry.name for entry in known if entry.installed), known[0].name)


def _fitting(task: str, scale: float | None, to_size: bool) -> "list[CatalogEntry]":
    from ..weights import catalog

    known = catalog.select(task)
    if to_size:
        return sorted(known, key=lambda entry: -entry.scale)
    if scale is None:
        return known
    return sorted((entry for entry in known if entry.scale >= scale), key=lambda entry: entry.scale)


def check_model(console: Console, model: "Model", task: str, choices: "Choices") -> None:
    """Refuse a model that is known not to do what was asked."""
    from ..images.planes import check_channels

    check_channels(model.descriptor.in_channels, model.name)
    possible = model.descriptor.tasks
    fitting = possible & {model.task} or possible  # a task that weights of this shape cannot do counts as unknown
    if task not in fitting:
        commands = " or ".join(f"mambair {name}" for name in sorted(fitting))
        raise UsageError(
            f"The model {model.name} is for {' or '.join(sorted(fitting))}, not for {task}.", f"Use {commands}."
        )
    own, scale = model.descriptor.scale, choices.scale
    if scale is not None and scale > own:
        raise UsageError(f"The model {model.name} enlarges {own} times, not {scale:g} times.", f"Use --scale {own}.")
    if model.task not in fitting and task != "upscale":
        console.note(f"The file does not say what {model.name} was trained for; it is taken to {task}.")
