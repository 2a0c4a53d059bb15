"""Several processes on this machine for one training: started together, ended together."""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std, start_processes

from ..errors import MambairError
from ..interruptions import SIGNALS
from .team import GONE, LAUNCHER

GRACE = 600
"""Seconds that interrupted processes have to save."""


class Failed(Exception):
    """A process failed and has said why on the terminal; ``exit_code`` is its own."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def launch(count: int, arguments: Sequence[str]) -> None:
    """Run ``mambair ARGUMENTS`` in ``count`` processes that find each other; the first one has the terminal.

    Raises:
        MambairError: a process other than the first ended early.
        Failed: the first one failed.
        KeyboardInterrupt: a signal came; the processes have saved and ended.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what it says, we say
    # The store lives here, on a port that the system chose, so no port can be in use and none is guessed.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    threads = str(max(1, (os.cpu_count() or 1) // count))
    shared = {
        LAUNCHER: str(os.getpid()),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
    }
    ranks = range(count)
    environments = {rank: {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in ranks}
    with tempfile.TemporaryDirectory(prefix="mambair-") as folder:
        logs = DefaultLogsSpecs(folder, redirects={rank: Std.ALL for rank in ranks if rank})
        with _handlers_kept():
            group = start_processes(
                "mambair",
                sys.executable,
                dict.fromkeys(ranks, ("-m", "mambair_cli", *arguments)),
                environments,
                logs,
            )
        try:
            result = group.wait(period=0.2)
        except KeyboardInterrupt:
            group.close(signal.SIGTERM, timeout=GRACE)
            raise
        assert result is not None  # without a time limit, waiting ends with one
        if result.is_failed():
            codes = {rank: failure.exitcode for rank, failure in result.failures.items()}
            raise explained(codes, {rank: Path(path) for rank, path in result.stderrs.items() if rank}, count)


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Starting processes takes the signals over; the command's own handlers know the exit code."""
    before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def explained(codes: dict[int, int], logs: dict[int, Path], count: int) -> Exception:
    """The cause among several failures: others only noticed that somebody was gone.

    Args:
        codes: exit codes by rank.
        logs: what the processes other than the first printed.
        count: of all processes.
    """
    for rank, code in sorted(codes.items()):
        if code < 0 and code != -signal.SIGTERM:  # SIGTERM is what the rest get
            return MambairError(
                f"Process {rank} of {count} was ended by {signal.Signals(-code).name}.",
                "If memory ran out, lower batch_size_per_gpu; the same command goes on from the last checkpoint.",
            )
    for rank in sorted(codes.keys() & logs.keys()):
        text = logs[rank].read_text(encoding="utf-8", errors="replace")
        said = [line.partition(": ")[2] for line in text.splitlines() if line.startswith(("Error: ", "Hint: "))]
        if said and GONE not in said[0]:
            hint = said[1] if len(said) > 1 else "The same command goes on from the last checkpoint."
            return MambairError(f"Process {rank} of {count}: {said[0]}", hint)
    return Failed(max(codes.get(0, 1), 1))
