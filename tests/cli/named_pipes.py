"""Pictures that come through named pipes: whoever waits for one has it in hand, and can be killed just then."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

TIMEOUT = 120


@contextmanager
def opened(pipe: str) -> Iterator[int]:
    """A pipe for writing, as soon as somebody reads it."""
    end, descriptor = time.monotonic() + TIMEOUT, -1
    while descriptor < 0:
        assert time.monotonic() < end, f"nobody reads {pipe}"
        with suppress(OSError):
            descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.02)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_files(process: psutil.Process) -> set[str]:
    """Names of the files that a process has open."""
    return {link.resolve().name for link in Path(f"/proc/{process.pid}/fd").iterdir()}
