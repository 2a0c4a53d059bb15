"""Weights that networks start from, taken from any file that the loader of restored models reads."""

import logging
from pathlib import Path

from torch import nn

from ..errors import ModelError
from ..weights import catalog, files
from ..weights.containers import Keys, Tensors

SHOWN = 3
"""Names in a message."""


def load(network: nn.Module, path: Path, strict: bool, key: str | None) -> None:
    """Put the tensors of a file into a network.

    Of the sets in the file the one is taken that fits; of several that do, the one under ``key``.

    Args:
        network: on any device.
        path: of a file of safetensors or torch.
        strict: whether the file has to hold exactly the network's tensors; else those are taken that fit.
        key: entry of the file, ``params_ema`` say.

    Raises:
        ModelError: the file is missing or unreadable, or what it holds does not fit.
    """
    if not path.is_file():
        raise ModelError(f"The weights {path} do not exist.", _way_to(path))
    own = network.state_dict()
    sets = files.read_placed(path)[0]
    place, tensors = max(sets, key=lambda found: _merit(own, found[0], found[1], key))
    fitting = _fitting(own, tensors)
    if not fitting or (strict and not len(own) == len(fitting) == len(tensors)):
        raise ModelError(
            f"The weights {path} are not those of the recipe's network: {_told(own, tensors, fitting)}.",
            "Give the network's own weights, path.strict_load_g=false to take what fits, or --no-resume."
            if fitting
            else "Give weights of this network, or delete path.pretrain_network_g.",
        )
    network.load_state_dict(fitting, strict=False)
    logger, where = logging.getLogger("basicsr"), ".".join(place) or "the top"
    level = logging.INFO if len(fitting) == len(own) == len(tensors) else logging.WARNING
    logger.log(level, "weights of %s (%s): %s.", path, where, _told(own, tensors, fitting))


def _way_to(path: Path) -> str:
    known = next(
        (entry for entry in catalog.entries() if path in (entry.path.absolute(), Path(path.parent, entry.file))), None
    )
    if known is None or known.bundled:
        return "Check path.pretrain_network_g; mambair models list shows models that can be named there."
    return f"Run {known.download}, then write path.pretrain_network_g={known.name}."


def _merit(own: Tensors, place: Keys, tensors: Tensors, key: str | None) -> tuple[bool, bool, int, int]:
    fits = len(_fitting(own, tensors))
    return fits == len(own), fits > 0 and key in place, fits, -len(tensors)


def _fitting(own: Tensors, tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if name in own and own[name].shape == value.shape}


def _told(own: Tensors, tensors: Tensors, fitting: Tensors) -> str:
    """How many fit, and some that do not."""
    text = f"{len(fitting)} of the network's {len(own)} tensors fit"
    for names, what in (
        (own.keys() - tensors.keys(), "missing"),
        (tensors.keys() - own.keys(), "unknown"),
        ((own.keys() & tensors.keys()) - fitting.keys(), "of another shape"),
    ):
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            text += f"; {what}: {', '.join(sorted(names)[:SHOWN])}{more}"
    return text
