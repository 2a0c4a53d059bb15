"""Files behind URLs, by fsspec: whole ones only. Stores of objects have no locks, and one name for each object."""

import hashlib
import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from ..errors import InputError, MambairError, OutputError, UsageError
from .url import Location, Url

EXTRA = "Install it: pip install 'mambair[urls]'."
AT_ONCE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
"""Stores in which an object is there once all of it has come, and which can refuse to replace one."""
MARKS = ("ETag", "etag", "md5Hash", "generation", "mtime", "LastModified", "last_modified", "created")
"""What stores say of the version of an object, the surest first."""
HIDDEN = ".mambair"
"""Folder, beside results, of what is known of them and of what is not complete yet."""
FORGOTTEN = timedelta(days=1)
"""Age at which nobody works any more on an incomplete file."""
CHUNK = 1 << 20


@lru_cache
def _module() -> Any:
    """All of fsspec.

    Raises:
        MambairError: it is not installed.
    """
    try:
        return importlib.import_module("fsspec")
    except ModuleNotFoundError as error:
        if error.name != "fsspec":
            raise
        raise MambairError("URLs need fsspec, which is not installed.", EXTRA) from None


@lru_cache(maxsize=64)
def _system(scheme: str, server: str) -> Any:
    return _module().core.url_to_fs(f"{scheme}://{server}", use_listings_cache=False)[0]


def _reached(url: Url) -> tuple[Any, str]:
    """The file system, and how it calls the file."""
    system = _system(url.scheme, url.path.partition("/")[0])
    return system, system._strip_protocol(str(url))


@contextmanager
def _asking(url: Url, failed: type[MambairError] = InputError) -> Iterator[None]:
    """Turn what stores say into messages.

    Raises:
        MambairError: of the type ``failed``, or fsspec is not installed.
        UsageError: nothing is known of the scheme.
    """
    verb, hint = (
        ("read", "or choose another input") if failed is InputError else ("written", "or choose another place with -o")
    )
    try:
        yield
    except MambairError:
        raise
    except FileNotFoundError:
        raise failed(f"{url} does not exist.", "Check the name and the bucket.") from None
    except FileExistsError:
        raise failed(f"{url} exists already.", "Add --overwrite, or choose another output with -o.") from None
    except PermissionError:
        raise failed(
            f"{url} may not be {verb} by you.",
            f"Check your credentials for {url.scheme}://, {hint}.",
        ) from None
    except NotImplementedError:
        raise failed(f"{url} cannot be {verb}: its server does not do that.", f"Copy the file, {hint}.") from None
    except ImportError as error:
        missing = str(error).rstrip(".")
        raise failed(f"What reaches {url.scheme}:// is not installed.", f"{missing}: use pip.") from None
    except ValueError as error:
        if "rotocol not known" not in str(error):
            raise _unreachable(url, error, failed) from None
        raise UsageError(
            f"{url.scheme}:// is the scheme of no store that fsspec knows.", "Give s3://, gs://, az:// or a path."
        ) from None
    except Exception as error:  # every store has its own
        raise _unreachable(url, error, failed) from None


def _unreachable(url: Url, error: Exception, failed: type[MambairError]) -> MambairError:
    text = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return failed(f"{url} cannot be reached: {text}.", "Check the name, the network and your credentials.")


def canonical(url: Url) -> Location:
    """One name for what several URLs mean; a path for what is on this machine."""
    with _asking(url):
        system, path = _reached(url)
        scheme, _, rest = system.unstrip_protocol(path).partition("://")
    return Path(path).resolve() if scheme == "file" else Url(scheme, rest.strip("/"))


def check_shared(url: Url) -> None:
    """Refuse what only one process sees.

    Raises:
        UsageError: it is in memory.
    """
    if url.scheme == "memory":
        raise UsageError(f"{url} is in the memory of one process.", "Use one process, or another place.")


def is_folder(url: Url) -> bool:
    """Whether files are below this name."""
    with _asking(url):
        system, path = _reached(url)
        return bool(system.isdir(path))


def exists(url: Url) -> bool:
    """Whether there is a file or a folder."""
    with _asking(url):
        system, path = _reached(url)
        return bool(system.exists(path))


def files(folder: Url, recursive: bool) -> list[Url]:
    """What is in a folder, also in folders inside."""
    with _asking(folder):
        system, path = _reached(folder)
        return _below(folder, path, system.find(path, maxdepth=None if recursive else 1))


def matches(folder: Url, pattern: str) -> list[Url]:
    """Files whose names below ``folder`` match a pattern."""
    with _asking(folder):
        system, path = _reached(folder)
        found = system.glob(f"{path.rstrip('/')}/{pattern}", detail=True)
        return _below(folder, path, [name for name, facts in found.items() if facts["type"] == "file"])


def _below(folder: Url, path: str, names: list[str]) -> list[Url]:
    start = f"{path.rstrip('/')}/"
    return sorted((folder / name[len(start) :] for name in names if name.startswith(start)), key=str)


def state(url: Url) -> tuple[int, int]:
    """Size and a number that changes with the version; 0 where the store tells no versions.

    Raises:
        InputError: there is no such file.
    """
    with _asking(url):
        system, path = _reached(url)
        facts = system.info(path)
        if facts["type"] != "file":
            raise InputError(f"{url} is a folder.", "Name a file.")
        mark = next((str(facts[name]) for name in MARKS if facts.get(name)), "")
    number = int(hashlib.sha256(mark.encode()).hexdigest()[:12], 16) if mark else 0
    return int(facts["size"]), number


def digest(url: Url) -> str:
    """SHA-256 of the content, which is read for it."""
    found = hashlib.sha256()
    with _asking(url):
        system, path = _reached(url)
        with system.open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                found.update(chunk)
    return found.hexdigest()


def get(url: Url, into: Path) -> None:
    """Copy a file to this machine, piece by piece.

    Raises:
        InputError: it cannot be read.
    """
    with _asking(url):
        system, path = _reached(url)
        system.get_file(path, str(into))


@contextmanager
def opened(url: Url) -> Iterator[BinaryIO]:
    """A file for reading, block by block.

    Raises:
        InputError: it cannot be read.
    """
    with _asking(url):
        system, path = _reached(url)
        with system.open(path, "rb") as file:
            yield file


def read(url: Url) -> bytes | None:
    """A small file; None if there is none."""
    with _asking(url), suppress(FileNotFoundError):
        system, path = _reached(url)
        return bytes(system.cat_file(path))
    return None


def write(url: Url, data: bytes, overwrite: bool = True) -> None:
    """A small file, by default over one that is there.

    Raises:
        OutputError: it cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "data"
        file.write_bytes(data)
        put(file, url, overwrite)


def put(path: Path, url: Url, overwrite: bool) -> None:
    """Copy a file of this machine to a URL, where all of it appears at once.

    Where a store does not see to that, it first gets a temporary name. A file that comes up meanwhile is kept on stores
    that can refuse to replace one; elsewhere there is a moment between the question and the answer.

    Raises:
        OutputError: it cannot be written, or a file is there that is to be kept.
    """
    with _asking(url, OutputError):
        system, name = _reached(url)
        if url.scheme in AT_ONCE:
            system.put_file(str(path), name, mode="overwrite" if overwrite else "create")
            return
        _, temporary = _reached(url.parent / HIDDEN / f"{uuid4().hex}.part")
        for place in (temporary, name):
            system.makedirs(system._parent(place), exist_ok=True)
        try:
            system.put_file(str(path), temporary)
            if not overwrite and system.exists(name):
                raise FileExistsError
            system.mv(temporary, name)
        except BaseException:
            with suppress(Exception):  # must not hide what happened before
                system.rm_file(temporary)
            raise


def remove(folder: Url) -> None:
    """A folder and all in it, if it is there."""
    with _asking(folder, OutputError), suppress(FileNotFoundError):
        system, path = _reached(folder)
        if system.exists(path):
            system.rm(path, recursive=True)


def sweep(folder: Url) -> None:
    """Remove incomplete files that nobody works on any more."""
    if folder.scheme in AT_ONCE:
        return
    with _asking(folder):
        system, path = _reached(folder / HIDDEN)
        for name in system.find(path):
            if name.endswith(".part") and _age(system.modified(name)) > FORGOTTEN:
                system.rm_file(name)


def _age(date: datetime) -> timedelta:
    return datetime.now(UTC) - (date if date.tzinfo else date.replace(tzinfo=UTC))


def check_writable(folder: Url) -> None:
    """Find out before the work that a folder takes files.

    Raises:
        OutputError: it does not.
    """
    probe = folder / HIDDEN / f"{uuid4().hex}.part"
    write(probe, b"")
    with _asking(folder, OutputError):
        system, path = _reached(probe)
        system.rm_file(path)
