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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from ...console import Advance
from ...errors import FetchError

MAX_RATIO, ALWAYS_ALLOWED = 30, 1 << 26
"""Pictures hardly shrink in an archive; one that unpacks to so many times its size (beyond 64 MiB) is a bomb."""

MAX_MEMBERS = 2_000_000
BLOCK = 1 << 20
JUNK = ("__MACOSX", ".DS_Store", "Thumbs.db")
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

HOSTILE = "Do not use this archive, and tell those who offer it."


@dataclass(frozen=True)
class _Member:
    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether the content is that of a ZIP or tar archive."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


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
        raise FetchError(f"The archive is damaged or cannot be read ({error}).", "Fetch it again.") from None
    except BaseException:
        shutil.rmtree(folder)
        raise


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


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[_Member]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield _zip_members(packed)
    else:
        with tarfile.open(archive) as packed_tar:
            yield _tar_members(packed_tar)


def _zip_members(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for info in archive.infolist():
        mode = stat.S_IFMT(info.external_attr >> 16)
        kind = "folder" if info.is_dir() else "file" if mode in (0, stat.S_IFREG) else "link or device"
        yield _Member(info.filename, kind, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]


def _tar_members(archive: tarfile.TarFile) -> Iterator[_Member]:
    for info in archive:
        kind = "folder" if info.isdir() else "file" if info.isreg() else "link or device"
        yield _Member(info.name, kind, info.size, lambda info=info: _opened(archive, info))  # type: ignore[misc]


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None, "only plain files are opened"
    return file


def _write(member: _Member, folder: Path) -> None:
    path = _inside(member.name, folder)
    if path.name in JUNK or JUNK[0] in path.parts:
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
