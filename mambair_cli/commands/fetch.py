"""``mambair fetch``: data sets and weights by name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import Console
from ..errors import MambairError, UsageError
from ..files.places import data_root
from ..locations.either import exists
from ..locations.url import Url, located, refuse
from .common import command, stop_if_interrupted

if TYPE_CHECKING:
    from ..data.fetch.download import Download
    from ..data.fetch.run import Options

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME|URL|ID...", help="What to fetch: see --list; or an address, or the id of a file on"
                   " Google Drive.", show_default=False),
]  # fmt: skip
List = Annotated[bool, typer.Option("--list", "-l", help="List what is known.")]
DryRun = Annotated[bool, typer.Option("--dry-run", "-n", help="Say from where, how much and where to; fetch nothing.")]
Root = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|URL",
        help="Where to put it.  [default: $MAMBAIR_DATA or ./datasets; models: a cache]",
        show_default=False,
    ),
]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="FILE", help="Use this file in place of the sources.", show_default=False),
]
Renew = Annotated[bool, typer.Option("--renew", help="Fetch again, and accept that the content has changed.")]
NoUnpack = Annotated[bool, typer.Option("--no-unpack", help="Keep an archive from an address as it is.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a sign of life.")]
Retries = Annotated[int, typer.Option(min=0, help="How often to try again without any progress.")]


def _fetch(
    console: Console,
    names: Names = None,
    list_: List = False,
    dry_run: DryRun = False,
    root: Root = None,
    from_: From = None,
    renew: Renew = False,
    no_unpack: NoUnpack = False,
    timeout: Timeout = 30.0,
    retries: Retries = 4,
) -> None:
    """Fetch data sets and models: verified, resumed after a cut, unpacked and put into place.

    A checksum that is not known is recorded (fetched.json) and verified from then on.
    """
    from ..data.fetch import download

    place = None if root is None else located(root)
    if place is None:
        refuse(data_root(), "MAMBAIR_DATA is a folder of this machine", "Give the URL with --root.")
    url = place if isinstance(place, Url) else None
    folder = _stage(url) if url else place
    assert not isinstance(folder, Url)
    if list_:
        _list(console, folder, url)
        return
    if not names:
        raise UsageError("Nothing to fetch was named.", "Give a name of mambair fetch --list, or an address.")
    if from_ is not None and (len(names) > 1 or not from_.is_file()):
        wrong = "can be of one name only" if len(names) > 1 else "does not exist"
        raise UsageError(f"The file {from_} {wrong}.", "Give one name and one file.")
    jobs = [download.find(name, folder, from_, not no_unpack) for name in names]
    if dry_run:
        for each in jobs:
            _show(console, each, url)
        return
    from ..data.fetch.run import Options
    from ..data.fetch.transfer import Patience

    _run(console, jobs, Options(Patience(timeout, retries), renew, not no_unpack), url)


def _stage(url: Url) -> Path:
    from ..data.fetch import store

    return store.stage(url)


def _run(console: Console, jobs: "list[Download]", options: "Options", url: Url | None) -> None:
    failed = []
    for each in jobs:
        try:
            _one(console, each, options, url)
        except MambairError as error:
            stop_if_interrupted()
            if len(jobs) == 1:
                raise
            console.error(error)
            failed.append(each.name)
    if failed:
        raise MambairError(f"{len(failed)} of {len(jobs)} failed: {', '.join(failed)}.", "See the messages above.")


def _one(console: Console, job: "Download", options: "Options", url: Url | None) -> None:
    from dataclasses import asdict

    from ..data.fetch import checks, run, store

    result = store.fetch(job, url, console, options) if url else run.fetch(job, console, options)
    if result.missing:
        console.warn(f"{result.path} lacks {', '.join(result.missing)}: it is not laid out as known.")
    size = f" ({checks.megabytes(result.bytes)} from {result.source})" if result.bytes else ""
    console.note(f"{job.name}: {'fetched' if result.fetched else 'there already'}{size}")
    if result.fetched and job.licence:
        console.note(f"Terms: {job.licence}.")
    console.data(str(result.path), asdict(result) | {"path": str(result.path)})


def _facts(job: "Download", url: Url | None) -> dict[str, Any]:
    """What the catalogues, and this machine or a store, know of a job."""
    from ..data import catalog
    from ..data.fetch import checks, store
    from ..weights import catalog as models

    entry = catalog.by_name(job.name) or models.by_name(job.name)
    known = {} if entry is None else vars(entry)
    target = store.target(job, url) if url else job.target
    facts: dict[str, Any] = {
        name: known[name] for name in ("task", "holds", "arch", "scale", "aliases", "layout") if name in known
    }
    return {
        "name": job.name,
        "kind": job.kind,
        **facts,
        "sources": [source.url for source in job.sources],
        "verified": known.get("verified"),
        "bytes": job.bytes,
        "sha256": job.sha256,
        "target": str(target),
        "there": exists(target),
        "free": checks.free(job.root),
        "licence": job.licence,
        "citation": known.get("citation", ""),
        "note": job.note,
    }


def _show(console: Console, job: "Download", url: Url | None) -> None:
    from rich.table import Column, Table
    from rich.text import Text

    from ..data.fetch import checks

    facts = _facts(job, url)
    table = Table(Column(no_wrap=True), Column(overflow="fold"), show_header=False, box=None, pad_edge=False)
    shown = facts | {"free": checks.megabytes(facts["free"]), "there": "yes" if facts["there"] else "no"}
    shown["bytes"] = checks.megabytes(job.bytes) if job.bytes else "not known"
    shown["sources"] = facts["sources"] or ["none known"]
    if job.recipe:
        shown["sources"] = ["every file from its own repository, see photos.csv"]
    for key, value in shown.items():
        text = "\n".join(value) if isinstance(value, (list, tuple)) else str(value or "")
        if text:
            table.add_row(key, Text(text))
    console.table(table, facts)


def _list(console: Console, root: Path | None, url: Url | None) -> None:
    from rich.table import Column, Table

    from ..data import catalog
    from ..data.fetch import download
    from ..weights import catalog as models

    table = Table(Column("Name", no_wrap=True), "Task", "There", "Verified", "Content", box=None, pad_edge=False)
    records = []
    names = [entry.name for entry in catalog.datasets()] + [
        entry.name for entry in models.entries() if not entry.bundled
    ]
    for name in names:
        facts = _facts(download.find(name, root), url)
        holds = facts.get("holds") or f"{facts['arch']} x{facts['scale']}"
        table.add_row(name, facts["task"], "yes" if facts["there"] else "no", facts["verified"], holds)
        records.append(facts)
    console.table(table, {"known": records})


fetch = command(_fetch)
