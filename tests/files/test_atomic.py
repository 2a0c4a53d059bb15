"""Whatever is written is there in full or not at all."""

import errno
import os
from pathlib import Path

import pytest

from mambair_cli.files import atomic, checksum, sniff


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, flushed = tmp_path / "a.json", []
    path.write_text("before", encoding="utf-8")

    def look(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, path.read_text(encoding="utf-8")))

    monkeypatch.setattr(os, "fsync", look)
    atomic.write(path, "after")
    names = [(tmp_path.stat().st_ino, "after")] if os.name == "posix" else []
    assert flushed == [(path.stat().st_ino, "before"), *names]


def test_a_disk_that_takes_no_more_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("before", encoding="utf-8")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write(path, "after")
    with pytest.raises(OSError, match="No space left"), atomic.making(tmp_path / "folder") as folder:
        (folder / "b").write_bytes(b"b")
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text(encoding="utf-8") == "before"


def test_a_folder_comes_with_all_that_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.add(os.fstat(descriptor).st_ino))
    with atomic.making(tmp_path / "set") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a.png").write_bytes(b"a")
        assert not (tmp_path / "set").exists()
    assert (tmp_path / "set/inner/a.png").stat().st_ino in flushed
    assert list(tmp_path.iterdir()) == [tmp_path / "set"]


@pytest.mark.skipif(os.name != "posix", reason="other systems do not flush folders")
def test_a_drive_that_flushes_no_folders_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync

    def fussy(descriptor: int) -> None:
        if os.path.isdir(f"/dev/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fussy)
    atomic.write(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "text"


def test_the_checksum_is_that_of_the_standard(tmp_path: Path) -> None:
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    (tmp_path / "a").write_bytes(b"abc")
    assert checksum.of_file(tmp_path / "a") == checksum.of_text("abc") == abc


def test_pages_and_pointers_are_told_from_files() -> None:
    assert sniff.is_page(b"\n <!DOCTYPE html><title>Quota</title>")
    assert sniff.is_page(b"<HTML>")
    assert not sniff.is_page(b"PK\3\4<html>")
    assert sniff.is_pointer(b"version https://git-lfs.github.com/spec/v1\noid sha256:")
    assert not sniff.is_pointer(b"version 1")
