"""CUDA graphs of a network, one per size of its input.

The kernels of a small tile take less time than Python needs to launch them; a graph launches them all at once. A size
is recorded when it comes for the second time, and its graph is used from then on if its values are the same to the bit.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary, proxy

import torch
from torch import Tensor, nn

from .engine import Network

LARGEST = 512 * 512
"""Pixels of an input beyond which launches do not matter, but the memory that a graph keeps does."""
KEPT = 4
"""Sizes: inner tiles, those of the last column and of the last row, and their corner."""

Record = Callable[[Network, Tensor], Network]
"""Runs a network on an example, and returns a function for inputs of that size."""


def record(network: Network, example: Tensor) -> Network:
    """A function that copies its input to where the graph reads, and its result from where the graph writes.

    The network has run on this size before, so that what happens only once, such as compiling, is no part of the graph.

    Raises:
        RuntimeError: the network does what a graph cannot hold, such as reading a value back.
    """
    with torch.cuda.device(example.device):
        given, graph = example.clone(), torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            made = network(given)

    def replay(x: Tensor) -> Tensor:
        given.copy_(x)
        graph.replay()
        return made.clone()

    return replay


@dataclass
class Graphs:
    """A network that records a graph of sizes that come again."""

    network: Network
    record: Record = record
    _known: "OrderedDict[Any, Network | None]" = field(default_factory=OrderedDict)

    def __call__(self, x: Tensor) -> Tensor:
        """See :data:`mambair_cli.restoration.engine.Network`."""
        if x.shape[-1] * x.shape[-2] > LARGEST:
            return self.network(x)
        key = (x.shape, torch.is_autocast_enabled(x.device.type), torch.get_autocast_dtype(x.device.type))
        seen, graph = key in self._known, self._known.pop(key, None)
        if graph is not None:
            self._known[key] = graph
            return graph(x)
        y = self.network(x)
        self._known[key] = self._recorded(x, y) if seen else None
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return y

    def _recorded(self, x: Tensor, y: Tensor) -> Network:
        """The graph, or the network itself where there can be none or its values differ."""
        try:
            graph = self.record(self.network, x)
            return graph if torch.equal(graph(x), y) else self.network
        except RuntimeError:  # out of memory included
            return self.network


_OF: "WeakKeyDictionary[nn.Module, Graphs]" = WeakKeyDictionary()


def graphed(network: Network) -> Network:
    """The graphs of a network on a card, the same for all pictures; on other devices the network itself."""
    first = next(network.parameters(), None) if isinstance(network, nn.Module) else None
    if first is None or first.device.type != "cuda":
        return network
    assert isinstance(network, nn.Module)
    return _OF.setdefault(network, Graphs(proxy(network)))  # a reference would keep the network for good
