"""The contract of a network: what building, loading, counting, restoring and training rely on.

A network is one module with

* a frozen, keyword-only dataclass of its options, each an :func:`.config.option` with default and text,
* a class derived from :class:`Network`, built from these options by keyword,
* ``matches(state_dict)``, ``infer(state_dict)`` and ``describe(config)``,

and one row of :data:`mambair_archs.registry.ARCHITECTURES`. Recipes, help, JSON Schema and documentation are made from
these; no other module names a network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


class Network(nn.Module):
    """Image in, image out: (batch, channels, height, width) to (batch, channels, height * scale, width * scale).

    Any height and width from 1 are taken; values lie in [0, 1]. The output is contiguous, since discriminators
    take views of it.

    Attributes:
        config: what it was built from.
        multiple: grid to which the input is padded inside.
        scale: output size over input size.
        global_view: 0, or the longer edge of the reduced picture that it has to see before any region
            (:class:`GlobalView`).
    """

    config: Any
    multiple: int = 1
    scale: int = 1
    global_view: int = 0

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """Modules with the number of pixels that they see per input pixel, for counting operations."""
        for module in self.children():
            yield module, 1.0

    def once(self) -> Iterator[tuple[nn.Module, float]]:
        """Modules with the number of positions that they see in a picture of any size."""
        yield from ()


@runtime_checkable
class Counted(Protocol):
    """A module that does more, or less, than the convolutions, linear layers and norms inside it."""

    def macs_per_pixel(self, inside: float) -> float:
        """Multiply-accumulates per pixel, given those of the modules inside it together."""
        ...


@dataclass(frozen=True)
class Place:
    """A region of a picture: its corner, and the size of the whole picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


@runtime_checkable
class GlobalView(Protocol):
    """A network that sees a reduced copy of the whole picture before it restores regions of it."""

    def look(self, view: Tensor, strength: float = 1.0) -> Tensor:
        """What the regions have to know of the picture, from its view (batch, channels, height, width).

        A ``strength`` above 1 asks for more than the network would do by itself.
        """
        ...

    def apply_view(self, region: Tensor, state: Tensor, place: Place) -> Tensor:
        """Restore a region (batch, channels, height, width) of the picture that ``state`` was made of."""
        ...


def view_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Size of a picture whose longer edge is reduced to ``longest`` pixels; small ones stay as they are."""
    longer = max(height, width)
    if longer <= longest:
        return height, width
    return max(1, round(height * longest / longer)), max(1, round(width * longest / longer))
