"""Archives as other systems write them, and files that are no archive of what was asked for."""

import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from mambair_cli.data.fetch import extract
from mambair_cli.errors import FetchError
from tests.cli.run import run
from tests.data.fetch.server import Server
from tests.data.fetch.toys import ARCHIVE, DRIVE, PICTURES, Known, messages, nothing_in_place, tarred, tree, zipped

NAME = "日本/写真.png"


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """An archive in which a name stands as other programs write it."""
    assert len(old) == len(new)
    return data.replace(old, new)


def with_method(method: int) -> bytes:
    """A ZIP archive whose member says that it is packed so."""
    data = bytearray(zipped({"set/1.png": b"one"}))
    struct.pack_into("<H", data, 8, method)
    struct.pack_into("<H", data, data.index(b"PK\1\2") + 10, method)
    return bytes(data)


def unpacked(data: bytes, folder: Path) -> dict[str, bytes]:
    (folder / "archive").write_bytes(data)
    extract.unpack(folder / "archive", folder / "out", lambda done, total: None)
    return tree(folder / "out")


def test_slashes_of_windows_part_folders(tmp_path: Path) -> None:
    data = renamed(zipped({"DF2K/HR/1.png": b"one"}), b"DF2K/HR/1.png", b"DF2K\\HR\\1.png")
    assert unpacked(data, tmp_path) == {"DF2K/HR/1.png": b"one"}


def test_a_name_in_utf8_without_the_flag(tmp_path: Path) -> None:
    plain = "x" * len(NAME.encode())
    data = renamed(zipped({plain: b"one"}), plain.encode(), NAME.encode())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() != [NAME]
    assert unpacked(data, tmp_path) == {NAME: b"one"}


def test_notes_of_macos_are_left_out(tmp_path: Path) -> None:
    files = {"set/1.png": b"one", "__MACOSX/set/._1.png": b"", "set/._1.png": b"note", "set/Thumbs.db": b""}
    assert unpacked(zipped(files), tmp_path) == {"set/1.png": b"one"}


@pytest.mark.parametrize(("method", "name"), [(9, "Deflate64"), (98, "PPMd"), (77, "method 77")])
def test_a_method_that_is_not_read_is_named(method: int, name: str, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"is packed with {name}"):
        unpacked(with_method(method), tmp_path)
    assert not (tmp_path / "out").exists()


SIX = {"6.png": bytes(10_000)}
NONE: dict[str, tuple[bytes, str]] = {
    "cut zip": (ARCHIVE[:-30], "ZIP archive is cut or damaged"),
    "cut in its first header": (tarred(SIX)[:20], "gzip archive is cut or damaged"),
    "rar": (b"Rar!\x1a\x07\x00" + bytes(100), "of the kind RAR"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(100), "of the kind 7z"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "sends no archive of Toys"),
    "another set": (zipped({"GoPro/blur/1.png": b"one"}), "holds none of HR, LR"),
    "nothing inside": (zipped({}), "holds no files"),
    "only folders": (zipped({"HR/": b"", "LR/": b""}), "holds no files"),
    "rubbish after a member": (tarred(SIX, "w")[: 512 + 10240] + b"\1" * 2000, "its end is missing"),
}


@pytest.mark.parametrize("case", NONE)
def test_what_is_not_the_set_asked_for_is_an_error(case: str, server: Server, known: Known) -> None:
    data, message = NONE[case]
    server.drive(DRIVE, data)
    known(f"drive:{DRIVE}")
    outcome = run("fetch", "toys")
    assert (outcome.code, outcome.out) == (1, "")
    assert message in messages(outcome.err)[0]
    assert nothing_in_place()
    server.drive(DRIVE, ARCHIVE)
    assert run("fetch", "toys").code == 0
    assert tree(Path("datasets/Toys")) == PICTURES


@pytest.mark.parametrize("name", ["a.zip", "w.pth", "a.tgz"])
def test_a_cut_archive_that_stays_packed_is_refused(name: str, server: Server) -> None:
    whole = tarred({"a": bytes(range(256)) * 99}) if name == "a.tgz" else ARCHIVE
    server.add(f"/{name}", whole[: len(whole) - 30])
    outcome = run("fetch", server.url(f"/{name}"), "--no-unpack")
    assert outcome.code == 1
    assert "cut" in outcome.err or "damaged" in outcome.err
    assert nothing_in_place()
    server.add(f"/{name}", whole)
    assert run("fetch", server.url(f"/{name}"), "--no-unpack").code == 0


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_that_unpacks_to_much_is_not_read(kind: bytes, server: Server) -> None:
    info = tarfile.TarInfo("name")
    info.type, info.size = kind, 200_000_000
    data = gzip.compress(info.tobuf() + bytes(info.size), 1)
    server.add("/bomb.tgz", data)
    tracemalloc.start()
    outcome = run("fetch", server.url("/bomb.tgz"))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.code == 1
    assert "a name or attributes of 200000000 bytes" in messages(outcome.err)[0]
    assert most < 50_000_000
