"""Finds sets of tensors in what trainers save: under which key, and below which prefix of the names.

BasicSR writes ``params`` and ``params_ema``, Lightning ``state_dict`` with the attribute of the module before each
name, torch.compile puts ``_orig_mod.`` there or inside, DataParallel ``module.``, GAN trainers one network beside
another, tools for averages ``ema_model.``. Which of the sets is a network, the registry can tell; here they are put
into an order.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

Tensors = dict[str, Tensor]
Keys = tuple[str, ...]
"""Keys of a file that lead to a set, and the parts of its prefix."""

NAMES = ("params", "state_dict", "model", "generator", "net_g", "net", "network")
"""Of containers and prefixes, the likelier first."""

WRAPPERS = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
"""Modules of torch and Lightning that hold another one, anywhere in a name."""

AVERAGED = {"ema", "averaged", "avg", "swa", "shadow"}
"""Words in the names of averaged weights."""

DEPTH = 8
"""Mappings inside mappings, and parts of a prefix, that are looked at."""

SIBLINGS = 4
"""A wrapper holds at most so many modules beside each other; what holds more is a network."""


def candidates(content: Any) -> list[tuple[Keys, Tensors]]:
    """Sets of tensors with their names inside the set, averaged weights first, then the likelier and the larger.

    Args:
        content: what a checkpoint holds: tensors by name, or mappings of such.
    """
    found = [
        ((*place, *prefix), part)
        for place, tensors in _mappings(content, ())
        for unwrapped in _unwrapped(tensors)
        for prefix, part in _inside(unwrapped, ())
    ]
    return sorted(found, key=lambda one: (*_rank(one[0]), -len(one[1])))


def _mappings(content: Any, place: Keys) -> Iterator[tuple[Keys, Tensors]]:
    """Every mapping that holds tensors, with the keys that lead to it."""
    if isinstance(content, Sequence) and not isinstance(content, str | bytes) and len(content) <= SIBLINGS:
        content = dict(enumerate(content))
    if not isinstance(content, Mapping) or len(place) > DEPTH:
        return
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield place, tensors
    for key, value in content.items():
        yield from _mappings(value, (*place, str(key)))


def _unwrapped(tensors: Tensors) -> Iterator[Tensors]:
    """The tensors themselves, and under their names without wrappers."""
    yield tensors
    shorter = {".".join(p for p in key.split(".") if p not in WRAPPERS): value for key, value in tensors.items()}
    if len(shorter) == len(tensors) and shorter.keys() != tensors.keys():
        yield shorter


def _inside(tensors: Tensors, prefix: Keys) -> Iterator[tuple[Keys, Tensors]]:
    """The tensors themselves, and those below each prefix that can be a wrapper's."""
    yield prefix, tensors
    modules: dict[str, Tensors] = {}
    for key, value in tensors.items():
        module, dot, rest = key.partition(".")
        if dot:
            modules.setdefault(module, {})[rest] = value
    if len(modules) > SIBLINGS or len(prefix) >= DEPTH:
        return
    for module, part in modules.items():
        yield from _inside(part, (*prefix, module))


def _rank(place: Keys) -> tuple[bool, int]:
    """Averaged first, then by name."""
    words = {word.lower() for part in place for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", part)}
    known = min((NAMES.index(part.lower()) for part in place if part.lower() in NAMES), default=len(NAMES))
    return words.isdisjoint(AVERAGED), known
