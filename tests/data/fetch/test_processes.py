"""Real processes that are killed, interrupted, or two at once, and a disk that is really full."""

import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mambair_cli.data.fetch.partial import TAIL
from tests.cli.run import run
from tests.data.fetch.server import Server
from tests.data.fetch.toys import tree, zipped

BIG = random.Random(0).randbytes(2_000_000)
FETCH = [sys.executable, "-m", "mambair_cli.entry", "fetch"]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def begun() -> bool:
    """Whether there is an unfinished file with something in it and a note of what it is."""
    found = [path.stat().st_size for end in (".part", ".source.json") for path in Path("datasets").rglob(f"*{end}")]
    return len(found) == 2 and all(found)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_transfer_that_is_stopped_goes_on_in_the_next_run(number: signal.Signals, code: int, server: Server) -> None:
    gate = threading.Event()
    thing = server.add("/big.bin", BIG, gate=gate)
    with subprocess.Popen([*FETCH, server.url("/big.bin")], stderr=subprocess.PIPE, text=True) as process:
        until(begun)
        process.send_signal(number)
        assert process.wait(30) == code
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert not Path("datasets/big.bin").exists()
    gate.set()
    assert run("fetch", server.url("/big.bin")).code == 0
    assert Path("datasets/big.bin").read_bytes() == BIG
    start = int(thing.requests[-1].removeprefix("bytes=").removesuffix("-"))
    assert start + TAIL in (1 << 19, 1 << 20), "it went on after the blocks that gdown had written"


def test_a_process_killed_while_unpacking(server: Server) -> None:
    files = {f"{number}.png": BIG[:1000] for number in range(5)}
    thing = server.add("/toys.zip", zipped(files))
    program = """
import sys, time
from mambair_cli.data.fetch import extract
write = extract._write
def slow(member, folder):
    write(member, folder)
    print("working", flush=True)
    time.sleep(60)
extract._write = slow
from mambair_cli.entry import main
main()
"""
    command = [sys.executable, "-c", program, "fetch", server.url("/toys.zip")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.kill()
        assert process.wait(30) == -9
    assert not Path("datasets/toys").exists()
    asked = len(thing.requests)
    assert run("fetch", server.url("/toys.zip")).code == 0
    assert tree(Path("datasets/toys")) == files
    assert len(thing.requests) == asked, "the archive was complete"


def test_two_processes_at_once_fetch_once(server: Server) -> None:
    gate = threading.Event()
    thing = server.add("/big.bin", BIG, gate=gate)
    command = [*FETCH, server.url("/big.bin")]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(begun)
    second = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert second.stderr is not None
    assert "Another process fetches" in second.stderr.readline()
    gate.set()
    for process, said in ((first, "fetched"), (second, "there already")):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "datasets/big.bin\n"), err
        assert said in err
    assert thing.requests == [""]
    assert Path("datasets/big.bin").read_bytes() == BIG


def tmpfs_is_permitted() -> bool:
    """Whether a small disk can be made, for one process only."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not tmpfs_is_permitted(), reason="a disk of its own cannot be made here")
def test_a_disk_that_is_full(server: Server) -> None:
    server.add("/big.bin", BIG, length=False)
    Path("small").mkdir()
    script = f"""
mount -t tmpfs -o size=1m none small
{sys.executable} -m mambair_cli.entry fetch {server.url("/big.bin")} --root small
code=$?
ls small
exit $code
"""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert "Error: The disk of small/.fetch/big.bin is full." in result.stderr
    assert "Hint: Make room and run the command again: it goes on." in result.stderr


def test_a_terminal_shows_rate_and_remaining_time(server: Server) -> None:
    server.add("/big.bin", BIG, pause=0.02)
    shown = bytearray()

    def read(descriptor: int) -> bytes:
        shown.extend(os.read(descriptor, 4096))
        return b" "

    assert os.waitstatus_to_exitcode(pty.spawn([*FETCH, server.url("/big.bin")], read)) == 0
    text = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", shown)
    assert re.search(rb"big\.bin .+/2\.0 MB [\d.]+ MB/s 0:00:0\d", text)
