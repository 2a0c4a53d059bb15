"""The driver's side of folders over Ray: names of files and what became of them travel through it, never pictures."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any
from uuid import uuid4

from ..errors import DeviceError
from ..restoration.result import Job
from ..restoration.workers import PATIENCE, Done, Message, Orders, State, Worker
from .actor import Actor
from .connection import Setting, connected

KINDS = ("auto", "cpu", "cuda")
"""What ``--device`` may say: every node has its own numbers of devices."""


@dataclass(frozen=True)
class NodeShare:
    """A share of a node: one GPU, or some of its processors."""

    node: str
    kind: str
    cpus: float

    def options(self, ray: ModuleType) -> dict[str, Any]:
        """What Ray is asked for. A node that is gone takes its workers with it: others have their own.

        By their names workers of a run find each other.
        """
        return {
            "name": f"mambair-{uuid4()}",
            "num_cpus": self.cpus,
            "num_gpus": int(self.kind == "cuda"),
            "scheduling_strategy": ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(self.node, soft=False),
        }


@dataclass(eq=False, kw_only=True)
class Remote(Worker):
    """The driver's side; ``calls`` that are not answered, with numbers of pictures, None for the start and the end."""

    actor: Any
    calls: dict[Any, int | None] = field(default_factory=dict)

    def send(self, number: int, job: Job) -> None:
        """Pictures are answered in any order."""
        self.calls[self.actor.restore.remote(job)] = number


@dataclass(frozen=True)
class Actors:
    """A crew on the nodes of a cluster; ``places`` are known by the names of devices."""

    ray: ModuleType
    devices: Sequence[str]
    places: dict[str, NodeShare]
    orders: Orders

    def start(self, device: str, first: bool) -> Worker:
        """Ask for an actor."""
        place = self.places[device]
        orders = replace(self.orders, threads=max(1, int(place.cpus)))
        remote = self.ray.remote(**place.options(self.ray))(Actor)
        actor = remote.remote(place.kind, orders, Setting.here())
        return Remote(
            device=device, first=first, actor=actor, calls={actor.ready.remote(): None, actor.end.remote(): None}
        )

    def collect(self, workers: Sequence[Worker]) -> Iterator[tuple[Worker, Message]]:
        """All answers that are there."""
        every = [worker for worker in workers if isinstance(worker, Remote)]
        of = {call: worker for worker in every for call in worker.calls}
        self.ray.wait(list(of), num_returns=1)
        there, _ = self.ray.wait(list(of), num_returns=len(of), timeout=0)
        dead: dict[Remote, State] = {}
        for call in there:
            worker = of[call]
            number = worker.calls.pop(call)
            try:
                answer = self.ray.get(call)
            except self.ray.exceptions.RayError:
                dead[worker] = State.gone if not worker.ready and self._gone(worker) else State.died
                continue
            if number is None:
                yield worker, answer or State.ready
            else:
                yield worker, Done(number, answer)
        yield from dead.items()

    def _gone(self, worker: Remote) -> bool:
        """Whether the node of a worker is not there; Ray takes a while to notice, and offers it until then."""
        return self.places[worker.device].node not in {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}

    def stop(self, workers: Sequence[Worker], at_once: bool) -> None:
        """Tell all before waiting for the first."""
        every = [worker for worker in workers if isinstance(worker, Remote)]
        told = [worker.actor.give_up.remote() for worker in every if at_once and worker.ready]
        if told:
            self.ray.wait(told, num_returns=len(told), timeout=PATIENCE)
        for worker in every:
            self.ray.kill(worker.actor)


@contextmanager
def assembled(address: str, devices: Sequence[str], orders: Orders) -> Iterator[Actors]:
    """A crew on every node of a cluster.

    Args:
        address: see :func:`connected`.
        devices: names of :data:`KINDS`. For ``cpu``, each node starts a worker per name, which share its processors;
            for ``cuda``, it starts one per GPU; ``auto`` is ``cuda`` if a node has any, else ``cpu``.
        orders: what every worker is told; a cluster started here has as many processors as it has threads.

    Raises:
        DeviceError: there is no such cluster, or it has no such device.
    """
    with connected(address, orders.threads) as ray:
        names, places = _shares(ray.nodes(), devices)
        yield Actors(ray, names, places, orders)


def _shares(nodes: Sequence[dict[str, Any]], devices: Sequence[str]) -> tuple[list[str], dict[str, NodeShare]]:
    """One name per worker, and what the names stand for."""
    alive = [node for node in nodes if node["Alive"]]
    gpus = {node["NodeID"]: int(node["Resources"].get("GPU", 0)) for node in alive}
    on_gpus = "cuda" in devices or ("auto" in devices and any(gpus.values()))
    names: list[str] = []
    places: dict[str, NodeShare] = {}
    for node in alive:
        cpus = float(node["Resources"].get("CPU", 0))
        count = gpus[node["NodeID"]] if on_gpus else len(devices) if cpus else 0
        if not count:
            continue
        kind = "cuda" if on_gpus else "cpu"
        share = cpus / count
        name = f"{kind} on {node['NodeManagerAddress']}:{node['NodeManagerPort']}"
        places[name] = NodeShare(node["NodeID"], kind, share if share < 1 else int(share))
        names += [name] * count
    if not names:
        kind = "GPU" if on_gpus else "processor to give"
        raise DeviceError(f"No node of the cluster has a {kind}.", "Give another --device, or start other nodes.")
    return names, places
