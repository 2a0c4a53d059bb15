"""Networks that have to see the whole picture: a reduced copy is made for them once, before any tile."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mambair_archs.network import GlobalView, Place, view_size

from ..images import planes
from ..images.picture import Pixels
from .told import Told

Rows = Callable[[int, int], Pixels]
"""Rows from start to stop of a picture without alpha; asked for from top to bottom, some of them twice."""

Plain = Callable[[Tensor], Tensor]

OnRegion = Callable[[Tensor, int, int], Tensor]
"""Restores a region (1, channels, height, width), given its first row and column in the picture."""


@dataclass
class Viewing:
    """A network with a global view, of which looking and applying are changed.

    Attributes:
        network: the one that looks and applies.
        strength: what that of a look is multiplied with.
        looking: what ``look`` becomes.
        applying: what the function that restores regions becomes.
    """

    network: GlobalView
    strength: float
    looking: Callable[[Plain], Plain]
    applying: Callable[[Plain], Plain]
    _known: tuple[Any, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        self._apply = self.applying(lambda region: self.network.apply_view(region, *self._known))

    def look(self, view: Tensor, strength: float = 1.0) -> Tensor:
        """See :class:`GlobalView`."""
        return self.looking(lambda view: self.network.look(view, strength * self.strength))(view)

    def apply_view(self, region: Tensor, state: Tensor, place: Place) -> Tensor:
        """See :class:`GlobalView`."""
        self._known = (state, place)
        return self._apply(region)


def on_regions(
    network: "Plain | GlobalView | Told",
    rows: Rows,
    shape: tuple[int, int],
    channels: int,
    longest: int,
    device: torch.device,
) -> OnRegion:
    """How ``network`` restores regions of a picture of which it first sees all.

    Args:
        network: :class:`GlobalView` if ``longest`` is not 0.
        rows: the picture, read once here.
        shape: its height and width.
        channels: of the network.
        longest: longer edge of the reduced copy, 0 for none.
        device: where the network is.

    Raises:
        TypeError: the network has no global view, but needs one.
    """
    if isinstance(network, Told):
        return network.at
    if not longest:
        assert callable(network)
        plain = network
        return lambda region, top, left: plain(region)
    if not isinstance(network, GlobalView):
        raise TypeError(f"{type(network).__name__} hides the global view of a network")
    viewing = network
    with torch.inference_mode():
        state = viewing.look(view(rows, shape, channels, longest).to(device))
    return lambda region, top, left: viewing.apply_view(region, state, Place(top, left, *shape))


def view(rows: Rows, shape: tuple[int, int], channels: int, longest: int) -> Tensor:
    """The picture, averaged down to at most ``longest`` pixels: (1, channels, height, width), floats in [0, 1].

    It is what ``adaptive_avg_pool2d`` makes of the whole, but only the rows under one row of the result are in memory.
    """
    height, width = view_size(*shape, longest)
    lines = []
    for row in range(height):
        part = planes.for_network(rows(row * shape[0] // height, -(-(row + 1) * shape[0] // height)), channels)
        line = torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))[None]
        lines.append(F.adaptive_avg_pool2d(line, (1, width)))
    return torch.cat(lines, dim=2)
