"""Data prepared over Ray: each photo is a task on some node, and only names travel."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ..data.prepare import Derivation, Made, do
from ..errors import MambairError
from .connection import Setting

AHEAD = 2
"""Photos per processor that tasks are made for: one at work, and one that waits."""
ATTEMPTS = 2
PATIENCE = 10
"""Seconds in which tasks that are interrupted clean up."""


def _task(setting: Setting, job: Derivation, overwrite: bool) -> Made:
    import cv2

    try:
        setting.enter()
    except MambairError as error:
        return error
    cv2.setNumThreads(1)
    return do(job, overwrite)


@dataclass(frozen=True)
class Tasks:
    """Does jobs on all processors of a cluster; a :data:`mambair_cli.data.prepare.Work`.

    A task whose process dies is done once more, since it may have been its node.
    """

    ray: ModuleType

    def __call__(self, jobs: Sequence[Derivation], overwrite: bool) -> Generator[tuple[Derivation, Made], None, None]:
        """See :data:`mambair_cli.data.prepare.Work`."""
        remote = self.ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_task)
        most = AHEAD * max(1, int(self.ray.cluster_resources().get("CPU", 1)))
        setting, running = Setting.here(), dict[Any, Derivation]()
        try:
            for job in jobs:
                if len(running) >= most:
                    yield from self._done(running)
                running[remote.remote(setting, job, overwrite)] = job
            while running:
                yield from self._done(running)
        finally:
            for call in running:
                self.ray.cancel(call)
            if running:
                self.ray.wait(list(running), num_returns=len(running), timeout=PATIENCE)

    def _done(self, running: dict[Any, Derivation]) -> Generator[tuple[Derivation, Made], None, None]:
        """Those that are done, at least one."""
        self.ray.wait(list(running))
        for call in self.ray.wait(list(running), num_returns=len(running), timeout=0)[0]:
            job = running.pop(call)
            try:
                yield job, self.ray.get(call)
            except self.ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except self.ray.exceptions.RayError:
                yield job, MambairError(f"The process that prepared {job.source} died.", "Look at it alone.")
