"""A connection to a Ray cluster, and what of the driver its workers take over."""

import importlib
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from .. import __version__
from ..errors import DeviceError, MambairError, UsageError

EXTRA = "Install it on every node: pip install 'mambair[cluster]'."
PREFIX = "MAMBAIR_"
"""Variables that mean something to us, which workers get from the driver."""
NICENESS = "RAY_worker_niceness"
"""How much workers of nodes that are started with this variable give way to other processes."""
STORE = 100 * 2**20
"""Bytes of the object store of a cluster that is started here: what travels is small, and Ray takes 75 MiB at least."""


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


@contextmanager
def connected(address: str, processors: int) -> Iterator[ModuleType]:
    """Ray, connected to a cluster.

    Args:
        address: ``auto`` for the cluster that runs here, ``local`` to start one on this machine, or HOST:PORT.
        processors: of a cluster started here.

    Raises:
        UsageError: the address is one of Ray's client.
        DeviceError: there is no such cluster.
    """
    if address.startswith("ray://"):
        raise UsageError(
            f"{address} is an address of Ray's client, from whose machine nodes get no folder.",
            "Give HOST:PORT of the head (its port is 6379 by itself), on a machine that shares the folder.",
        )
    ray = imported()
    local = {"num_cpus": processors, "include_dashboard": False, "object_store_memory": STORE}
    if address == "local":
        os.environ.setdefault(NICENESS, "0")  # as other commands work; by itself Ray takes 15
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
        yield ray
    finally:
        ray.shutdown()
