"""Files that outlive a process: whole or not there, whoever writes, whatever happened to them."""

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from mambair_cli.files import places
from mambair_kernels import kept

NAME = kept.name("cubin", "source", "sm_90")
WRITER = """
import sys
from mambair_kernels import kept
number = int(sys.argv[1])
for size in range(200):
    kept.write(sys.argv[2], bytes([number]) * (1 + size * 37 % 5000))
    content = kept.read(sys.argv[2])
    assert content and set(content) == {content[0]}, content
"""


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMBAIR_CACHE", str(tmp_path / "cache"))


def test_the_folder_is_that_of_all_of_mambair(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept.folder().parent == places.cache_root()
    monkeypatch.delenv("MAMBAIR_CACHE")
    assert kept.folder().parent == places.cache_root() == Path(platformdirs.user_cache_dir("mambair", appauthor=False))


def test_what_was_written_is_read() -> None:
    assert kept.read(NAME) is None
    for content in (b"", bytes(range(256)) * 400):
        kept.write(NAME, content)
        assert kept.read(NAME) == content
    assert os.listdir(kept.folder()) == [NAME]  # noqa: PTH208


def test_names_tell_parts_apart() -> None:
    assert len({kept.name(*parts) for parts in (("a", "b", "c"), ("a", "bc"), ("a", "c", "b"), ("b", "b", "c"))}) == 4


@pytest.mark.parametrize("at", [0, 31, 32, 500, -1])
def test_a_damaged_file_is_as_one_that_is_not_there(at: int) -> None:
    kept.write(NAME, bytes(1000))
    path = kept.folder() / NAME
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[at] ^= 1
    other = kept.folder() / kept.name("cubin", "source", "sm_80")
    for content in (damaged, whole[: len(whole) + at] if at < 0 else whole[:at]):
        path.write_bytes(content)
        assert kept.read(NAME) is None
    other.write_bytes(whole)  # of another name
    assert kept.read(other.name) is None
    kept.write(NAME, b"again")
    assert kept.read(NAME) == b"again"


def test_without_a_place_nothing_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAMBAIR_CACHE", str(tmp_path / "file" / "below"))
    kept.write(NAME, b"content")
    assert kept.read(NAME) is None


def test_a_name_that_is_taken_is_left() -> None:
    (kept.folder() / NAME / "within").mkdir(parents=True)
    kept.write(NAME, b"content")
    assert kept.read(NAME) is None
    assert os.listdir(kept.folder()) == [NAME]  # noqa: PTH208


def test_only_those_that_were_used_last_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 3)
    (kept.folder() / "of another program").mkdir(parents=True)
    names = [kept.name("cubin", str(number)) for number in range(4)]
    for age, name in enumerate(names[:3]):
        kept.write(name, b"content")
        os.utime(kept.folder() / name, (age, age))
    assert kept.read(names[0]) == b"content"
    kept.write(names[3], b"content")
    assert {path.name for path in kept.folder().glob("*.cubin")} == {names[0], names[2], names[3]}


def test_processes_that_write_at_the_same_time_do_not_disturb_each_other() -> None:
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(number), NAME]) for number in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert os.listdir(kept.folder()) == [NAME]  # noqa: PTH208
