"""What is fetched into a store behind a URL: made complete in a folder of this machine, then copied file by file."""

import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from ...console import Console
from ...files import atomic
from ...locations import objects
from ...locations.url import Url
from . import record, run
from .download import Download


def stage(url: Url) -> Path:
    """The folder, in ``$TMPDIR``, in which things for a store are made; the same for each run, so that it goes on."""
    return Path(tempfile.gettempdir()) / f"mambair-fetch-{hashlib.sha256(str(url).encode()).hexdigest()[:16]}"


def target(wanted: Download, url: Url) -> Url:
    """Where a thing is to be."""
    return url / wanted.target.relative_to(wanted.root).as_posix()


def fetch(wanted: Download, url: Url, console: Console, options: run.Options) -> run.Fetched:
    """Fetch one thing, verify it, and copy it into a store; its record comes last, so what is recorded is complete.

    Args:
        wanted: to be made in :func:`stage`.
        url: the root of the data in the store.
        console: shows progress.
        options: see :class:`run.Options`.

    Raises:
        FetchError: no source gives it, or not as it should be.
        OutputError: it cannot be kept.
    """
    with record.lock(wanted.root, record.NAME + ".store"):
        known = _records(url)
        place, receipt = target(wanted, url), known.get(wanted.name)
        if receipt and not options.renew and objects.exists(place):
            return run.Fetched(wanted.name, place, receipt.sha256, receipt.bytes, receipt.source, False)
        atomic.write(wanted.root / record.NAME, record.text(known))  # checksums of first use are those of the store
        made = run.fetch(wanted, console, options)
        assert isinstance(made.path, Path)
        _copy(made.path, place, console)
        own = record.find(wanted.root, wanted.name)
        assert own is not None
        objects.write(url / record.NAME, record.text(_records(url) | {wanted.name: own}).encode())
        _remove(made.path)
    return replace(made, path=place, fetched=True)


def _records(url: Url) -> dict[str, record.Receipt]:
    content = objects.read(url / record.NAME)
    return {} if content is None else record.parse(content, url / record.NAME)


def _copy(made: Path, place: Url, console: Console) -> None:
    files = sorted(path for path in made.rglob("*") if path.is_file()) if made.is_dir() else [made]
    with console.progress(f"Copying to {place}", "files") as progress:
        for number, file in enumerate(files, start=1):
            objects.put(file, place / file.relative_to(made).as_posix(), overwrite=True)
            progress(number, len(files))


def _remove(made: Path) -> None:
    if made.is_dir():
        shutil.rmtree(made)
    else:
        made.unlink()
