"""Unpack archives of strangers: only plain files and folders, only inside the folder, and only so much."""

import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Self

from ...console import Advance
from ...errors import FetchError

MAX_RATIO, ALWAYS_ALLOWED = 30, 1 << 26
"""Pictures hardly shrink in an archive; one that unpacks to so many times its size (beyond 64 MiB) is a bomb."""

MAX_MEMBERS = 2_000_000
BLOCK = 1 << 20
JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db")
HIDDEN = "._"
"""How macOS begins the names of its notes on other files."""

READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
METHODS = {1: "shrink", 6: "implode", 9: "Deflate64", 93: "zstd", 95: "xz", 98: "PPMd"}
ENCRYPTED, UTF8 = 0x1, 0x800
"""Bits of a member's flags in a ZIP archive: it needs a password; its name is in UTF-8."""

HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
LONGEST_HEADER = 1 << 20
"""Bytes of a long name or of extended attributes in a tar archive, which are read into memory."""

DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""How the libraries complain; RuntimeError and NotImplementedError about encryption and unknown methods."""

ELSEWHERE = re.compile(r"^[A-Za-z]:|[\\\0]")
"""What leads out of a folder on Windows, and what no name may hold."""

HEADS = {
    b"PK\3\4": "ZIP",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
"""How archives begin that are read here."""

FOREIGN = {b"Rar!": "RAR", b"7z\xbc\xaf": "7z", b"\x28\xb5\x2f\xfd": "zstd"}
OTHERWISE = "Unpack it with 7-Zip or unzip, and put its folder into place."
HOSTILE = "Do not use this archive, and tell those who offer it."


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes]]


class _Header(tarfile.TarInfo):
    """A header of a tar archive; the library reads what follows some of them into memory, however much it is."""

    last = b""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """One header, refused if too much belongs to it."""
        cls.last = bytes(buf)
        header = super().frombuf(buf, encoding, errors)
        if header.type in HEADERS and header.size > LONGEST_HEADER:
            raise FetchError(f"The archive holds a name or attributes of {header.size} bytes.", HOSTILE)
        return header


@contextmanager
def _tar(path: Path) -> Iterator[tarfile.TarFile]:
    class Header(_Header):
        """What was read last belongs to this archive alone."""

    with tarfile.open(path, tarinfo=Header) as archive:
        yield archive


def is_archive(path: Path) -> bool:
    """Whether the content is that of a ZIP or tar archive.

    Raises:
        FetchError: it is hostile.
    """
    if zipfile.is_zipfile(path):
        return True
    try:
        with _tar(path):
            return True
    except DAMAGE:
        return False


def refuse(path: Path) -> None:
    """Say of what is no readable archive that it is a cut or a foreign one; do nothing if it is something else.

    Raises:
        FetchError: it is.
    """
    with path.open("rb") as file:
        head = file.read(8)
    for start, name in HEADS.items():
        if head.startswith(start):
            raise FetchError(f"The {name} archive is cut or damaged.", "Fetch it again.")
    for start, name in FOREIGN.items():
        if head.startswith(start):
            raise FetchError(f"The archive is of the kind {name}, which is not read here.", OTHERWISE)


def check(archive: Path) -> None:
    """Read an archive to its end without unpacking it.

    Raises:
        FetchError: it is damaged or hostile.
    """
    try:
        with _members(archive) as members:
            for member in members:
                _inside(member.name, archive.parent)
    except DAMAGE as error:
        raise _damaged(error) from None


def unpacked_size(archive: Path) -> int | None:
    """Bytes that a ZIP archive says it unpacks to; None for a tar archive, which has no list of its content."""
    if not zipfile.is_zipfile(archive):
        return None
    try:
        with zipfile.ZipFile(archive) as packed:
            return sum(info.file_size for info in packed.infolist())
    except DAMAGE:
        return None  # it will be refused when it is unpacked


def unpack(archive: Path, folder: Path, progress: Advance) -> None:
    """Unpack a ZIP or tar archive into ``folder``, which must not exist; what was unpacked goes again on failure.

    Raises:
        FetchError: the archive is damaged or hostile.
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True)
    try:
        _unpack(archive, folder, progress)
    except DAMAGE as error:
        shutil.rmtree(folder)
        raise _damaged(error) from None
    except BaseException:
        shutil.rmtree(folder)
        raise


def _damaged(error: Exception) -> FetchError:
    return FetchError(f"The archive is damaged or cannot be read ({error}).", "Fetch it again.")


def _unpack(archive: Path, folder: Path, progress: Advance) -> None:
    limit = max(ALWAYS_ALLOWED, MAX_RATIO * archive.stat().st_size)
    done, total = 0, unpacked_size(archive)
    with _members(archive) as members:
        for number, member in enumerate(members):
            done += member.size
            if done > limit or number > MAX_MEMBERS:
                raise FetchError(f"The archive unpacks to more than {limit >> 20} MiB.", HOSTILE)
            _write(member, folder)
            progress(done, total)
    if not any(path.is_file() for path in folder.rglob("*")):
        raise FetchError("The archive holds no files.", "Look for another source.")


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield _zip_members(packed)
    else:
        with _tar(archive) as packed_tar:
            yield _tar_members(packed_tar)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        if info.flag_bits & ENCRYPTED:
            raise FetchError("The archive is encrypted: it needs a password.", OTHERWISE)
        if info.compress_type not in READABLE:
            method = METHODS.get(info.compress_type, f"method {info.compress_type}")
            raise FetchError(f"The archive is packed with {method}, which is not read here.", OTHERWISE)
    for info in archive.infolist():
        name, mode = _zip_name(info), stat.S_IFMT(info.external_attr >> 16)
        kind = "folder" if name.endswith("/") else "file" if mode in (0, stat.S_IFREG) else "link or device"
        yield _Member(name, kind, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name of a member: many tools write UTF-8 without saying so, and some of Windows the wrong slash."""
    name = info.filename
    if not info.flag_bits & UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    while (info := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # else the library keeps them all in memory
        kind = "folder" if info.isdir() else "file" if info.isreg() else "link or device"
        yield _Member(info.name, kind, info.size, lambda info=info: _opened(archive, info))  # type: ignore[misc]
    if any(archive.tarinfo.last):  # type: ignore[attr-defined]
        raise tarfile.ReadError("its end is missing")


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None, "only plain files are opened"
    return file


def _write(member: _Member, folder: Path) -> None:
    path = _inside(member.name, folder)
    if path.name in JUNK or path.name.startswith(HIDDEN) or JUNK[0] in path.parts:
        return
    if member.kind not in ("file", "folder"):
        raise FetchError(f"The archive holds a {member.kind}, {member.name}.", HOSTILE)
    try:
        (path if member.kind == "folder" else path.parent).mkdir(parents=True, exist_ok=True)
        if member.kind == "file":
            _copy(member, path)
    except (FileExistsError, NotADirectoryError):
        raise FetchError(f"The archive holds {member.name} twice.", HOSTILE) from None


def _copy(member: _Member, path: Path) -> None:
    with member.open() as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, BLOCK)
        if target.tell() != member.size:
            raise FetchError(f"The archive ends within {member.name}.", "Fetch it again.")


def _inside(name: str, folder: Path) -> Path:
    """The path of a member, refusing every name that could lead elsewhere, on any system."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or ELSEWHERE.search(name):
        raise FetchError(f"The archive would write outside its folder, to {name}.", HOSTILE)
    return folder.joinpath(*parts)


def arranged(folder: Path, layout: tuple[str, ...]) -> tuple[Path, list[str]]:
    """Where in what was unpacked the data set begins, and which folders of its layout are missing there."""
    if layout:
        best = min(_folders(folder), key=lambda path: len(_missing(path, layout)))
    else:
        best = folder
        while len(inside := list(best.iterdir())) == 1 and inside[0].is_dir():
            best = inside[0]
    return best, _missing(best, layout)


def _folders(folder: Path, depth: int = 3) -> list[Path]:
    """The folder and those in it, the shallow ones first."""
    level, found = [folder], [folder]
    for _ in range(depth):
        level = [path for parent in level for path in sorted(parent.iterdir()) if path.is_dir()]
        found += level
    return found


def _missing(folder: Path, layout: tuple[str, ...]) -> list[str]:
    return [part for part in layout if not (folder / part).is_dir()]
