"""Blocks of which a network has several: each kind is traced once, and written down for every block.

Tracing takes time with every operation and every expression of sizes that came before it, so a network of 24 blocks
takes far longer than 24 networks of one.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mambair_archs.blocks.residual import DropPath

DOMAIN = "mambair"
"""Of nodes that stand for something until they are replaced."""

BLOCK = "block"
"""Type of the node that stands for a block; its attribute ``number`` says which."""


@dataclass
class Kind:
    """Blocks that differ in their weights alone.

    Attributes:
        blocks: by their names in the network.
        like: a tensor that one of them was given.
        axes: those of its axes that follow the size of the picture.
    """

    blocks: dict[str, nn.Module]
    like: Tensor
    axes: tuple[int, ...]


class Mark(nn.Module):
    """Takes the place of a block while what is around it is traced."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        """Something shaped like ``x``."""
        out: Tensor = torch.onnx.ops.symbolic(
            f"{DOMAIN}::{BLOCK}", [x], {"number": self.number}, dtype=x.dtype, shape=x.shape, version=1
        )
        return out


def kinds(network: nn.Module, *cases: tuple[Tensor, ...]) -> list[Kind]:
    """The kinds of blocks of which there are several: elements of lists that make one tensor of one, of its shape.

    Args:
        network: is run.
        cases: its inputs in two cases, for pictures of another height and width.
    """
    parts = dict(network.named_modules())
    elements = {
        f"{name}.{key}": each
        for name, part in parts.items()
        if isinstance(part, nn.ModuleList)
        for key, each in part.named_children()
    }
    seen: dict[str, list[Tensor | None]] = {name: [] for name in elements}

    def watch(name: str) -> Any:
        def note(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], out: Any) -> None:
            x = given[0] if len(given) == 1 and not named else None
            same = isinstance(x, Tensor) and isinstance(out, Tensor) and (x.shape, x.dtype) == (out.shape, out.dtype)
            seen[name].append(x if same else None)

        return elements[name].register_forward_hook(note, with_kwargs=True)

    handles = [watch(name) for name in elements]
    try:
        with torch.no_grad():
            for inputs in cases:
                network(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    fit = {name for name, calls in seen.items() if len(calls) == len(cases) and None not in calls}
    groups: dict[Any, dict[str, nn.Module]] = defaultdict(dict)
    for name in sorted(fit):
        if not any(other.startswith(f"{name}.") for other in fit):
            groups[_fingerprint(elements[name])][name] = elements[name]
    found = []
    for blocks in groups.values():
        first, second = (x for x in seen[next(iter(blocks))] if x is not None)
        if len(blocks) > 1:
            found.append(Kind(blocks, first, changing(first, second)))
    return found


def changing(first: Tensor, second: Tensor) -> tuple[int, ...]:
    """Axes of which the sizes differ."""
    return tuple(axis for axis in range(first.dim()) if first.shape[axis] != second.shape[axis])


def _fingerprint(block: nn.Module) -> Any:
    """What two blocks of one kind have in common: modules, settings, and the shapes of the weights."""
    return tuple(
        (
            name,
            type(part),
            repr(sorted((key, value) for key, value in vars(part).items() if not key.startswith("_"))),
            tuple((key, value.shape, value.dtype) for key, value in tensors(part, recurse=False).items()),
        )
        for name, part in block.named_modules()
        if not isinstance(part, DropPath)  # whose rate grows from block to block, and which only training heeds
    )


def tensors(module: nn.Module, recurse: bool = True) -> dict[str, Tensor]:
    """Parameters and buffers by name, each name once, shared ones too."""
    weights = dict(module.named_parameters(recurse=recurse, remove_duplicate=False))
    return weights | dict(module.named_buffers(recurse=recurse, remove_duplicate=False))


def replace(network: nn.Module, name: str, by: nn.Module) -> None:
    """Put ``by`` where the module of that name is."""
    parent, _, key = name.rpartition(".")
    network.get_submodule(parent)._modules[key] = by
