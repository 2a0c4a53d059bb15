"""Locks that vanish with their process, and the removal of what killed processes leave."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mambair_cli.files.atomic import key
from mambair_cli.files.locks import claimed, held, sweep
from mambair_cli.files.outputs import reserved

HOLD = """
import sys
from pathlib import Path
from mambair_cli.files.locks import claimed
from mambair_cli.files.outputs import reserved
path = Path(sys.argv[1])
with claimed(path) as free, reserved(path):
    print(free, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process, which makes a.png."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "a.png")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def names(folder: Path) -> set[str]:
    return {path.suffix for path in folder.iterdir()}


def test_one_process_at_a_time(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    with claimed(tmp_path / "a.png") as free:
        assert not free
    with claimed(tmp_path / "b.png") as free:
        assert free
    assert names(tmp_path) == {".lock", ".part"}
    sweep(tmp_path)
    assert names(tmp_path) == {".lock", ".part"}, "it is at work"
    holder.communicate("")
    assert names(tmp_path) == set()
    with claimed(tmp_path / "a.png") as free:
        assert free


@pytest.mark.parametrize("reaped", [True, False])
def test_a_killed_process_is_in_nobodys_way(reaped: bool, holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    if reaped:
        holder.wait()
    else:
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    assert names(tmp_path) == {".lock", ".part"}
    with claimed(tmp_path / "a.png") as free:
        assert free
    sweep(tmp_path)
    assert names(tmp_path) == set()


def test_another_process_may_have_got_the_number(tmp_path: Path) -> None:
    with reserved(tmp_path / "a.png") as mine:
        sweep(tmp_path)
        assert mine.exists()
        os.utime(mine, (time.time() - 1e6,) * 2)  # before this process began
        sweep(tmp_path)
        assert not mine.exists()


def test_only_our_own_leftovers(tmp_path: Path) -> None:
    others = {"a.part", ".mambair.jsonl", ".mambair-1-2.part", "mambair.lock"}
    for name in others:
        (tmp_path / name).touch()
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == others


def test_what_is_left_of_a_picture_that_was_being_turned_goes(tmp_path: Path) -> None:
    nobody = 1 << 30  # more than any system counts to
    (tmp_path / f".mambair-{key(tmp_path / 'a.png')}-{nobody}-0-turned.part").write_bytes(b"unpacked")
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_a_process_that_is_gone_goes_with_its_content(tmp_path: Path) -> None:
    left = tmp_path / f".mambair-{key(tmp_path / 'a.lmdb')}-{1 << 30}-0.part"
    left.mkdir()
    (left / "data.mdb").write_bytes(b"half")
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_whoever_is_patient_is_told_and_waits(tmp_path: Path) -> None:
    said: list[str] = []
    with held(tmp_path / "lock") as first, held(tmp_path / "lock", 0.1, lambda: said.append("waiting")) as second:
        assert (first, second, said) == (True, False, ["waiting"])
    with held(tmp_path / "lock") as again:
        assert again
    assert not list(tmp_path.iterdir())
