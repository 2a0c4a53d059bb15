"""Output files: complete or not there, and never over something that was to be kept."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mambair_cli.errors import OutputError
from mambair_cli.files import atomic
from mambair_cli.files.outputs import check_new, publish, reserved


def write(path: Path, data: bytes, overwrite: bool = True) -> None:
    with reserved(path) as temporary:
        publish(temporary, path, data, overwrite)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["ein Bild — 画像 🦅.png", "a" * 255])
def test_names(name: str, overwrite: bool, tmp_path: Path) -> None:
    write(tmp_path / name, b"data", overwrite)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"data"


@pytest.mark.parametrize("overwrite", [True, False])
def test_the_name_is_given_to_a_file_that_is_complete(
    overwrite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "a.png", []

    def look(descriptor: int) -> None:
        assert not path.exists()
        assert os.fstat(descriptor).st_size == 4
        seen.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", look)
    write(path, b"data", overwrite)
    assert seen == [path.stat().st_ino]


def test_writing_leaves_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    write(path, b"after")
    assert path.read_bytes() == b"after"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_up_in_the_meantime_is_kept(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", without_links)
    path = tmp_path / "a.png"
    with reserved(path) as temporary:
        path.write_bytes(b"theirs")
        with pytest.raises(OutputError, match="exists already"):
            publish(temporary, path, b"ours", overwrite=False)
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def without_links(*arguments: Any) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_a_drive_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "hardlink_to", without_links)
    write(tmp_path / "a.png", b"data", overwrite=False)
    assert (tmp_path / "a.png").read_bytes() == b"data"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failure_takes_the_folders_with_it(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(ZeroDivisionError), reserved(tmp_path / "one/two/three/a.png"):
        raise ZeroDivisionError
    assert list(tmp_path.rglob("*")) == [tmp_path / "one"]


def test_cleaning_up_hides_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "unlink", stuck)
    with pytest.raises(ZeroDivisionError), reserved(tmp_path / "a.png"):
        raise ZeroDivisionError


def test_a_left_over_of_another_process_is_not_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "NUMBERS", iter([0, 0, 1]))
    with reserved(tmp_path / "a.png") as one, reserved(tmp_path / "a.png") as other:
        assert one != other


@pytest.mark.parametrize("name", ["file/a.png", "loop/a.png", "b" * 256, "folder"])
def test_impossible_places(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OutputError), reserved(tmp_path / name) as temporary:
        publish(temporary, tmp_path / name, b"data", overwrite=True)
    assert sorted(tmp_path.iterdir()) == before


def test_a_taken_name(tmp_path: Path) -> None:
    check_new(tmp_path / "a.png")
    (tmp_path / "a.png").symlink_to("nowhere")
    with pytest.raises(OutputError, match="exists already"):
        check_new(tmp_path / "a.png")
    with pytest.raises(OutputError, match="too long"):
        check_new(tmp_path / ("a" * 256))
