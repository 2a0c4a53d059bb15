"""Which sizes become graphs, with a stand-in for CUDA's: what a card does is checked by benchmarks.gpu."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mambair_cli.restoration import graphs
from mambair_cli.restoration.engine import Network


class Counted(nn.Module):
    """Doubles its input, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.scale


def replaying(change: float = 0.0) -> Callable[[Network, Tensor], Network]:
    def record(network: Network, example: Tensor) -> Network:
        network(example)
        return lambda x: 2 * x + change

    return record


def refusing(network: Network, example: Tensor) -> Network:
    raise RuntimeError("operation not permitted when stream is capturing")


def picture(edge: int = 8) -> Tensor:
    return torch.rand(1, 3, edge, edge)


def test_a_size_becomes_a_graph_when_it_comes_again() -> None:
    network = Counted()
    graph = graphs.Graphs(network, replaying())
    for _ in range(5):
        x = picture()
        assert torch.equal(graph(x), 2 * x)
    assert network.calls == 3  # once, again, and recorded


@pytest.mark.parametrize("record", [replaying(change=1e-6), refusing])
def test_what_cannot_be_a_graph_or_differs_stays_as_it_is(record: graphs.Record) -> None:
    network = Counted()
    graph = graphs.Graphs(network, record)
    for _ in range(4):
        x = picture()
        assert torch.equal(graph(x), 2 * x)
    assert network.calls >= 4


def test_large_and_rare_sizes_keep_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "LARGEST", 100)
    recorded = []

    def record(network: Network, example: Tensor) -> Network:
        recorded.append(example.shape[-1])
        return network

    graph = graphs.Graphs(Counted(), record)
    for edge in (11, 11, 2, 2, 3, 4, 5, 6, 2, 2):
        graph(picture(edge))
    assert recorded == [2, 2]  # forgotten in between, and recorded anew


def test_precisions_have_graphs_of_their_own() -> None:
    graph = graphs.Graphs(Counted(), lambda network, example: lambda x: network(x))
    graph(picture())
    with torch.autocast("cpu", torch.bfloat16):
        graph(picture())
    assert len(graph._known) == 2


def test_other_devices_take_the_network_itself() -> None:
    network = Counted()
    assert graphs.graphed(network) is network
