"""From a job to a file or folder that is complete, or to an error that leaves nothing under the final name."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ...console import Console
from ...errors import FetchError, OutputError
from ...files import atomic, checksum
from ...locations.url import Location
from . import checks, download, extract, record, transfer
from .checks import Expected
from .download import Download
from .failures import unwritable
from .partial import forget
from .sources import Origin, file_name
from .transfer import Patience


@dataclass(frozen=True)
class Options:
    """How to fetch. ``renew``: again even if it is there, accepting changed content; ``unpack``: archives too."""

    patience: Patience
    renew: bool = False
    unpack: bool = True


@dataclass(frozen=True)
class Fetched:
    """What came of a job; ``fetched`` is false if it was there already, ``missing`` are parts of the layout."""

    name: str
    path: Location
    sha256: str | None
    bytes: int | None
    source: str | None
    fetched: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Made:
    path: Path
    sha256: str
    bytes: int
    source: str
    missing: tuple[str, ...] = ()


def fetch(wanted: Download, console: Console, options: Options) -> Fetched:
    """Fetch one thing, verify it and put it into place.

    Raises:
        FetchError: no source gives it, or not as it should be.
        OutputError: it cannot be kept.
    """
    task = _named(wanted, options)
    try:
        with record.lock(task.root, task.slug, lambda: console.note(f"Another process fetches {task.name}; waiting.")):
            return (None if options.renew else present(task)) or _fetch(task, console, options)
    except OSError as error:
        raise unwritable(error, task.root) from None


def _named(task: Download, options: Options) -> Download:
    """Ask Google Drive for the name of a file that was asked for by its id."""
    if task.kind != "file" or task.sources[0].kind != "drive":
        return task
    return download.called(task, transfer.drive_name(task.sources[0], options.patience), options.unpack)


def present(task: Download) -> Fetched | None:
    """What is there already, verified if it can be.

    Raises:
        FetchError: it is there, but not as it should be.
    """
    known = record.find(task.root, task.name)
    if task.folder:
        return _present_folder(task, known)
    if not task.target.is_file():
        return None
    digest, size = checksum.of_file(task.target), task.target.stat().st_size
    wanted = task.sha256 or (known.sha256 if known else digest)
    if digest != wanted:
        raise FetchError(
            f"{task.target} is there, but is not the file that was fetched: its sha256 is {digest}, not {wanted}.",
            "Fetch it again with --renew.",
        )
    return Fetched(task.name, task.target, digest, size, known.source if known else None, False)


def _present_folder(task: Download, known: record.Receipt | None) -> Fetched | None:
    if not task.target.is_dir() or not any(task.target.iterdir()):
        return None
    missing = tuple(part for part in task.layout if not (task.target / part).is_dir())
    if known is None and missing:
        raise FetchError(
            f"{task.target} is there, was not fetched and lacks {', '.join(missing)}.",
            "Complete it, or move it away and fetch again.",
        )
    if known is None:
        return Fetched(task.name, task.target, None, None, None, False)
    return Fetched(task.name, task.target, known.sha256, known.bytes, known.source, False, missing)


def _fetch(task: Download, console: Console, options: Options) -> Fetched:
    work = task.root / record.WORK / task.slug
    work.mkdir(parents=True, exist_ok=True)
    made = _make(task, work, console, options)
    _check_own(task)
    record.add(task.root, task.name, record.Receipt.now(made.sha256, made.bytes, made.source))
    _place(made.path, task.target, work)
    shutil.rmtree(work)
    return Fetched(task.name, task.target, made.sha256, made.bytes, made.source, True, made.missing)


def _check_own(task: Download) -> None:
    """Never replace a folder that was not fetched."""
    taken = task.folder and task.target.is_dir() and any(task.target.iterdir())
    if taken and record.find(task.root, task.name) is None:
        raise OutputError(f"{task.target} is there and was not fetched.", "Move it away and fetch again.")


def _place(made: Path, target: Path, work: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        old = work / "old"
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    atomic.move(made, target)


def _expected(task: Download, options: Options) -> Expected:
    if task.sha256:
        return Expected(task.bytes, task.sha256)
    known = None if options.renew else record.find(task.root, task.name)
    return Expected(known.bytes, known.sha256, str(task.root / record.NAME)) if known else Expected(task.bytes)


def _make(task: Download, work: Path, console: Console, options: Options) -> _Made:
    """Try one source after the other."""
    if task.recipe:
        from . import photos

        folder, digest, size = photos.build(work, console, options.patience)
        return _Made(folder, digest, size, "manifest")
    failures: list[FetchError] = []
    for source in task.automatic:
        if failures:
            console.warn(f"{failures[-1].message} Trying {source.url}.")
        try:
            return _from(source, task, work, console, options)
        except FetchError as error:
            failures.append(error)
    raise _given_up(task, failures)


def _given_up(task: Download, failures: list[FetchError]) -> FetchError:
    if len(failures) == 1:
        return failures[0]
    if failures:
        reasons = " ".join(error.message for error in failures)
        return FetchError(f"No source gives {task.name}: {reasons}", failures[-1].hint)
    pages = " or ".join(source.url for source in task.sources)
    where = f"Get it from {pages}" if pages else f"Find it, put it into {task.target}"
    more = ", and give the file with --from FILE" if pages else f" with the folders {', '.join(task.layout)}"
    return FetchError(f"No address is known from which a program can fetch {task.name}.", f"{where}{more}.")


def _from(source: Origin, task: Download, work: Path, console: Console, options: Options) -> _Made:
    if source.kind == "folder":
        return _from_folder(source, task, work, console, options)
    file, expected = work / "download", _expected(task, options)
    with console.progress(task.target.name, "bytes") as progress:
        digest = transfer.transfer(source, file, expected, options.patience, progress)
    with _gone_if_refused(file):
        checks.check_content(file, source.url)
        size = file.stat().st_size
        expected.check_size(size, source.url)
        expected.check_digest(digest, source.url)
        path, missing = _unpacked(source, task, file, console) if task.unpack else (file, ())
        if not task.unpack and expected.sha256 is None:
            _check_packed(file, source, task)
    return _Made(path, digest, size, source.url, missing)


@contextmanager
def _gone_if_refused(file: Path) -> Iterator[None]:
    """Else the next run would take it for complete."""
    try:
        yield
    except FetchError:
        forget(file)
        file.unlink()
        raise


def _check_packed(file: Path, source: Origin, task: Download) -> None:
    """Refuse an archive that stays packed (weights of PyTorch are one too) if it is not whole."""
    checks.check_zip(file, source.url)
    if not task.target.name.lower().endswith(download.PACKED):
        return
    if not extract.is_archive(file):
        extract.refuse(file)
        raise FetchError(f"{source.url} sends no archive, whatever its name says.", checks.BROWSER)
    extract.check(file)


def _unpacked(source: Origin, task: Download, file: Path, console: Console) -> tuple[Path, tuple[str, ...]]:
    folder = file.with_name("unpacked")
    shutil.rmtree(folder, ignore_errors=True)
    if not extract.is_archive(file):
        extract.refuse(file)
        if task.kind == "file" or task.layout:
            raise FetchError(f"{source.url} sends no archive of {task.name}, whatever its name says.", checks.BROWSER)
        folder.mkdir()
        shutil.copyfile(file, folder / (file_name(source) or "download"))
        return folder, ()
    checks.check_room(file.parent, extract.unpacked_size(file) or file.stat().st_size, f"Unpacking {task.name}")
    with console.progress(f"Unpacking {task.target.name}", "bytes") as progress:
        extract.unpack(file, folder, progress)
    return _arranged(source, task, folder)


def _arranged(source: Origin, task: Download, folder: Path) -> tuple[Path, tuple[str, ...]]:
    path, missing = extract.arranged(folder, task.layout)
    if task.layout and len(missing) == len(task.layout):
        raise FetchError(
            f"{source.url} sends something else than {task.name}: it holds none of {', '.join(task.layout)}.",
            "Get the set elsewhere, and give its archive with --from FILE.",
        )
    return path, tuple(missing)


def _from_folder(source: Origin, task: Download, work: Path, console: Console, options: Options) -> _Made:
    folder, expected = work / "files", _expected(task, options)
    listed = transfer.drive_folder(source, folder, options.patience)
    lines, total = [], 0
    for number, (file, path) in enumerate(listed, start=1):
        path.parent.mkdir(parents=True, exist_ok=True)
        with console.progress(f"{task.target.name} {number}/{len(listed)}", "bytes") as progress:
            digest = transfer.transfer(file, path, Expected(), options.patience, progress)
        with _gone_if_refused(path):
            checks.check_content(path, file.url)
        lines.append(f"{digest} {path.relative_to(folder).as_posix()}\n")
        total += path.stat().st_size
    whole = checksum.of_text("".join(sorted(lines)))
    replace(expected, bytes=None).check_digest(whole, source.url)
    for _, path in listed:
        forget(path)
    best, missing = _arranged(source, task, folder)
    return _Made(best, whole, total, source.url, missing)
