"""Folders over Ray: a worker is an actor on a node. Names of files and what became of them travel, never pictures."""

import asyncio
import importlib
import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from types import ModuleType
from typing import Any

from . import __version__
from .errors import DeviceError, MambairError, explained
from .restoration.batch import Pipeline
from .restoration.result import Job, Result
from .restoration.workers import IN_FLIGHT, PATIENCE, Done, Message, Orders, State, Worker

EXTRA = "Install it on every node: pip install 'mambair[cluster]'."
KINDS = ("auto", "cpu", "cuda")
"""What ``--device`` may say: every node has its own numbers of devices."""
PREFIX = "MAMBAIR_"
"""Variables that mean something to us, which workers get from the driver."""
STORE = 100 * 2**20
"""Bytes of the object store of a cluster that is started here: results are small, and Ray takes 75 MiB at least."""


def imported() -> ModuleType:
    """Ray itself.

    Raises:
        MambairError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MambairError("A cluster needs Ray, which is not installed.", EXTRA) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    ray._private.worker._worker_logs_enabled = False  # the end of a worker would be told on standard output
    return ray


@dataclass(frozen=True)
class Setting:
    """Of the driver, and the same for every worker."""

    folder: str
    variables: dict[str, str]
    version: str

    @classmethod
    def here(cls) -> "Setting":
        """Of this process."""
        variables = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
        return cls(os.getcwd(), variables, __version__)  # noqa: PTH109

    def enter(self) -> None:
        """Make it that of this process.

        Raises:
            DeviceError: this node has not what the driver has.
        """
        node = os.uname().nodename if hasattr(os, "uname") else "a node"
        if self.version != __version__:
            raise DeviceError(
                f"{node} has mambair {__version__}, not {self.version}.", "Install the same version on every node."
            )
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise DeviceError(
                f"{node} has no folder {self.folder}: {error.strerror}.", "Work in a folder that all nodes share."
            ) from None
        os.environ.update(self.variables)


class _Given(BaseException):
    """Nobody wants the result any more."""


class Actor:
    """The worker's side: a pipeline in a thread of its own; each call waits for its picture.

    Calls are coroutines because those of an actor begin in the order in which they were sent; threads do not.
    """

    def __init__(self, device: str, orders: Orders, setting: Setting) -> None:
        self.device, self.orders, self.setting = device, orders, setting
        self.queue: SimpleQueue[tuple[Job, Future[Result]] | None] = SimpleQueue()
        self.taken: deque[Future[Result]] = deque()
        self.begun: Future[MambairError | None] = Future()
        self.unwanted = False
        self.thread = threading.Thread(target=self._work, daemon=True)

    async def ready(self) -> MambairError | None:
        """Begin; returns what is in the way."""
        self.thread.start()
        return await asyncio.wrap_future(self.begun)

    async def restore(self, job: Job) -> Result:
        """What becomes of a picture. Several may be on their way."""
        answer: Future[Result] = Future()
        self.queue.put((job, answer))
        return await asyncio.wrap_future(answer)

    async def give_up(self) -> None:
        """Leave the pictures that are on their way, and nothing of them."""
        self.unwanted = True
        self.queue.put(None)
        await asyncio.to_thread(self.thread.join, PATIENCE)

    def _work(self) -> None:
        try:
            self.setting.enter()
            run = self.orders.run(self.device)
        except Exception as error:
            self.begun.set_result(explained(error, f"The start on {self.device}"))
            return
        self.begun.set_result(None)
        pipeline = Pipeline(run, self._tell, lambda job: nullcontext(self._watched))
        with suppress(_Given):
            try:
                pipeline.run(self._take)
            except Exception:  # a fault of ours, which must not leave the driver waiting
                os._exit(1)

    def _take(self, waiting: bool) -> Job | None:
        try:
            entry = self.queue.get(block=waiting)
        except Empty:
            return None
        if entry is None:
            return None
        self.taken.append(entry[1])
        return entry[0]

    def _tell(self, job: Job, result: Result) -> None:
        self.taken.popleft().set_result(result)

    def _watched(self, done: int, total: int) -> None:
        if self.unwanted:
            raise _Given


@dataclass(frozen=True)
class NodeShare:
    """A share of a node: one GPU, or some of its processors."""

    node: str
    kind: str
    cpus: float

    def options(self, ray: ModuleType) -> dict[str, Any]:
        """What Ray is asked for. A node that is gone takes its workers with it: others have their own."""
        return {
            "num_cpus": self.cpus,
            "num_gpus": int(self.kind == "cuda"),
            "max_concurrency": IN_FLIGHT + 2,  # ready and give_up, too
            "scheduling_strategy": ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(self.node, soft=False),
        }


@dataclass(eq=False, kw_only=True)
class Remote(Worker):
    """The driver's side; ``calls`` that are not answered, with numbers of pictures, None for the start."""

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
        return Remote(device=device, first=first, actor=actor, calls={actor.ready.remote(): None})

    def collect(self, workers: Sequence[Worker]) -> Iterator[tuple[Worker, Message]]:
        """All answers that are there."""
        every = [worker for worker in workers if isinstance(worker, Remote)]
        of = {call: worker for worker in every for call in worker.calls}
        self.ray.wait(list(of), num_returns=1)
        there, _ = self.ray.wait(list(of), num_returns=len(of), timeout=0)
        dead: dict[Remote, None] = {}
        for call in there:
            worker = of[call]
            number = worker.calls.pop(call)
            try:
                answer = self.ray.get(call)
            except self.ray.exceptions.RayError:
                dead[worker] = None
                continue
            if number is None:
                yield worker, answer or State.ready
            else:
                yield worker, Done(number, answer)
        for worker in dead:
            yield worker, State.died

    def stop(self, workers: Sequence[Worker], at_once: bool) -> None:
        """Tell all before waiting for the first."""
        every = [worker for worker in workers if isinstance(worker, Remote)]
        told = [worker.actor.give_up.remote() for worker in every if at_once and worker.ready]
        if told:
            self.ray.wait(told, num_returns=len(told), timeout=PATIENCE)
        for worker in every:
            self.ray.kill(worker.actor)


@contextmanager
def connected(address: str, devices: Sequence[str], orders: Orders) -> Iterator[Actors]:
    """A crew on every node of a cluster.

    Args:
        address: ``auto`` for the cluster that runs here, ``local`` to start one on this machine, or HOST:PORT.
        devices: names of :data:`KINDS`. For ``cpu``, each node starts a worker per name, which share its processors;
            for ``cuda``, it starts one per GPU; ``auto`` is ``cuda`` if a node has any, else ``cpu``.
        orders: what every worker is told; a cluster started here has as many processors as it has threads.

    Raises:
        DeviceError: there is no such cluster, or it has no such device.
    """
    ray = imported()
    local = {"num_cpus": orders.threads, "include_dashboard": False, "object_store_memory": STORE}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **(local if address == "local" else {}),
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        text = (str(error).splitlines() or ["no details"])[0].rstrip(".")
        raise DeviceError(
            f"No Ray cluster answers at {address}: {text}.", "Start one with ray start --head, or give --cluster local."
        ) from None
    finally:
        signal.signal(signal.SIGTERM, handler)  # which Ray replaces by one that does not clean up
    try:
        names, places = _shares(ray.nodes(), devices)
        yield Actors(ray, names, places, orders)
    finally:
        ray.shutdown()


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
