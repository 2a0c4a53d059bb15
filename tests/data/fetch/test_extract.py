"""Archives of strangers."""

import errno
import io
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mambair_cli.data.fetch import extract
from mambair_cli.errors import FetchError
from tests.cli.run import run
from tests.data.fetch.server import Server
from tests.data.fetch.toys import DRIVE, tarred, tree, zipped

PLANTED = str(Path(tempfile.gettempdir(), f"planted-{os.getpid()}"))
FILES = {"a/1.png": b"one", "a/b/2.png": b"two" * 1000, "3.png": b""}


def member(name: str, kind: bytes, target: str = "") -> bytes:
    """A tar archive of one odd member, and a file that would go through it if it were a link to a folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        archive.addfile(info)
        inside = tarfile.TarInfo(f"{name}/planted")
        inside.size = 4
        archive.addfile(inside, io.BytesIO(b"evil"))
    return buffer.getvalue()


def zip_link(target: str) -> bytes:
    """A ZIP archive that holds a symbolic link."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
    return buffer.getvalue()


def bomb() -> bytes:
    """Half a megabyte that would become 200 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            archive.writestr(str(number), bytes(50_000_000))
    return buffer.getvalue()


def lying_zip() -> bytes:
    """A ZIP archive in which a member says that it is smaller than it is."""
    data = zipped({"a": b"x" * 100_000})
    return data.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))


def encrypted() -> bytes:
    """A ZIP archive whose only member says that it needs a password."""
    data = bytearray(zipped({"a": b"x"}))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "zip, upwards": (lambda: zipped({"../../planted": b"evil"}), "would write outside its folder"),
    "zip, absolute": (lambda: zipped({PLANTED: b"evil"}), "would write outside its folder"),
    "zip, Windows": (lambda: zipped({"C:planted": b"evil"}), "would write outside its folder"),
    "zip, Windows separators": (lambda: zipped({"..\\planted": b"evil"}), "would write outside its folder"),
    "zip, link": (lambda: zip_link("/etc/passwd"), "holds a link or device"),
    "zip, twice": (lambda: zipped({"a/b": b"1", "a/./b": b"2"}), "twice"),
    "zip, file and folder": (lambda: zipped({"a": b"1", "a/b": b"2"}), "twice"),
    "zip, bomb": (bomb, "unpacks to more than 64 MiB"),
    "zip, lying": (lying_zip, "damaged"),
    "zip, encrypted": (encrypted, "encrypted"),
    "tar, upwards": (lambda: tarred({"a/../../planted": b"evil"}), "would write outside its folder"),
    "tar, absolute": (lambda: tarred({PLANTED: b"evil"}), "would write outside its folder"),
    "tar, symbolic link": (lambda: member("out", tarfile.SYMTYPE, ".."), "holds a link or device"),
    "tar, hard link": (lambda: member("out", tarfile.LNKTYPE, "/etc/passwd"), "holds a link or device"),
    "tar, device": (lambda: member("out", tarfile.CHRTYPE), "holds a link or device"),
    "tar, pipe": (lambda: member("out", tarfile.FIFOTYPE), "holds a link or device"),
    "tar, bomb": (lambda: tarred({str(n): bytes(30_000_000) for n in range(3)}), "unpacks to more than 64 MiB"),
    "tar, cut": (lambda: tarred({"a": os.urandom(100_000)})[:50_000], "damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_archive_writes_nothing(case: str, server: Server, tmp_path: Path) -> None:
    make, message = HOSTILE[case]
    data = make()
    server.add(f"/x.{case[:3]}", data)
    outcome = run("fetch", server.url(f"/x.{case[:3]}"))
    assert (outcome.code, outcome.out) == (1, "")
    assert message in outcome.err
    assert "unexpected" not in outcome.err
    assert tree(tmp_path) == {}
    assert not Path(PLANTED).exists()


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_good_archives(mode: str, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(zipped(FILES) if mode == "zip" else tarred(FILES, mode))
    seen: list[int] = []
    extract.unpack(archive, tmp_path / "out", lambda done, total: seen.append(done))
    assert tree(tmp_path / "out") == FILES
    assert seen[-1] == sum(map(len, FILES.values()))


def test_what_systems_leave_in_archives_is_left_out(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(zipped({"__MACOSX/a/._1.png": b"", "a/.DS_Store": b"", "a/1.png": b"one"}))
    extract.unpack(archive, tmp_path / "out", lambda done, total: None)
    assert tree(tmp_path / "out") == {"a/1.png": b"one"}


def test_text_is_no_archive(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_text("not an archive" * 100)
    assert not extract.is_archive(archive)
    with pytest.raises(FetchError, match="damaged"):
        extract.unpack(archive, tmp_path / "out", lambda done, total: None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prefix", ["", "DF2K/", "a/b/c/"])
def test_the_beginning_of_a_data_set_is_found(prefix: str, tmp_path: Path) -> None:
    layout = ("HR", "LR_bicubic/X2")
    for part in (*layout, "other"):
        (tmp_path / "unpacked" / prefix / part).mkdir(parents=True)
    assert extract.arranged(tmp_path / "unpacked", layout) == (tmp_path / "unpacked" / prefix, [])
    found, missing = extract.arranged(tmp_path / "unpacked", (*layout, "LR_bicubic/X4"))
    assert (found, missing) == (tmp_path / "unpacked" / prefix, ["LR_bicubic/X4"])


def test_a_disk_that_is_full_while_unpacking(
    server: Server, known: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = server.drive(DRIVE, zipped({"HR/1.png": b"high", "LR/1.png": b"low"}))
    known(f"drive:{DRIVE}")
    write = extract._write
    written: list[str] = []

    def full(member: extract._Member, folder: Path) -> None:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(member, folder)
        written.append(member.name)

    monkeypatch.setattr(extract, "_write", full)
    outcome = run("fetch", "toys")
    assert outcome.code == 1
    assert "Error: The disk of datasets is full." in outcome.err
    assert "Hint: Make room and run the command again: it goes on." in outcome.err
    assert not Path("datasets/Toys").exists()
    assert not list(Path("datasets").rglob("*.png"))
    asked = len(thing.requests)
    monkeypatch.setattr(extract, "_write", write)
    assert run("fetch", "toys").code == 0
    assert len(thing.requests) == asked, "the archive was complete"
