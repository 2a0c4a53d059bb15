"""What a name on the command line stands for: sources, checks and the place where it ends."""

import difflib
import re
from dataclasses import dataclass, replace
from pathlib import Path

from ...errors import UsageError
from ...files.places import cache_root, data_root
from ...weights import catalog as models
from .. import catalog
from . import sources
from .sources import Origin

PACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


@dataclass(frozen=True)
class Download:
    """One thing to fetch.

    Attributes:
        name: under which it is recorded; unique within ``root``.
        kind: ``dataset``, ``model`` or ``file``.
        target: the file or folder, below ``root``, that appears when everything has gone well.
        unpack: whether an archive is to become a folder.
        layout: folders that the target has to hold.
        recipe: how it is made where it is no single file.
        bytes, sha256: of the file that comes, where known.
    """

    name: str
    kind: str
    root: Path
    target: Path
    sources: tuple[Origin, ...]
    unpack: bool = False
    layout: tuple[str, ...] = ()
    recipe: str = ""
    bytes: int | None = None
    sha256: str | None = None
    licence: str = ""
    note: str = ""

    @property
    def automatic(self) -> tuple[Origin, ...]:
        """The sources from which a program can fetch."""
        return tuple(source for source in self.sources if source.automatic)

    @property
    def slug(self) -> str:
        """A file name for what belongs to this job alone."""
        return re.sub(r"[^\w.-]", "_", str(self.target.relative_to(self.root)))

    @property
    def folder(self) -> bool:
        """Whether the target is a folder."""
        return self.unpack or bool(self.recipe) or any(source.kind == "folder" for source in self.sources)


def find(name: str, root: Path | None = None, local: Path | None = None, unpack: bool = True) -> Download:
    """The job for a name of the catalogues, an address or an id; ``local`` is a file to be used instead of its sources.

    Raises:
        UsageError: it is none of these.
    """
    job = _dataset(name, root) or _model(name, root) or _address(name, root, unpack)
    if local and job.recipe:
        raise UsageError(f"{job.name} is made from many files.", "Leave --from away.")
    return replace(job, sources=(Origin("file", str(local)),)) if local else job


def _dataset(name: str, root: Path | None) -> Download | None:
    entry = catalog.by_name(name)
    if entry is None:
        return None
    place = root or data_root()
    return Download(
        name=entry.name,
        kind="dataset",
        root=place,
        target=place / entry.target,
        sources=tuple(map(sources.parse, entry.sources)),
        unpack=True,
        layout=entry.layout,
        recipe=entry.recipe,
        bytes=entry.bytes,
        sha256=entry.sha256,
        licence=entry.licence,
        note=entry.note,
    )


def _model(name: str, root: Path | None) -> Download | None:
    entry = models.by_name(name)
    if entry is None:
        return None
    if entry.bundled:
        raise UsageError(f"The model {name} comes with the package.", f"Use it at once: --model {name}.")
    place = root or cache_root()
    there = entry.installed and root is None
    return Download(
        name=entry.name,
        kind="model",
        root=entry.path.parent.parent if there else place,
        target=entry.path if there else place / "models" / entry.file,
        sources=tuple(map(sources.parse, (entry.url, *entry.mirrors))),
        bytes=entry.bytes,
        sha256=entry.sha256,
        licence=entry.licence,
        note=entry.note,
    )


def _address(text: str, root: Path | None, unpack: bool) -> Download:
    known = [name for entry in catalog.datasets() for name in entry.names] + [entry.name for entry in models.entries()]
    try:
        source = sources.parse(text)
    except UsageError:
        raise _unknown(text, known) from None
    name = sources.file_name(source) or source.address
    if source.kind == "url" and not sources.file_name(source):
        raise UsageError(f"The address {text} does not end in the name of a file.", "Give the address of a file.")
    place = root or data_root()
    return called(Download(name=source.url, kind="file", root=place, target=place, sources=(source,)), name, unpack)


def called(job: Download, name: str, unpack: bool) -> Download:
    """The job whose file has this name: an archive becomes a folder, if ``unpack``."""
    packed = next((end for end in PACKED if unpack and name.lower().endswith(end)), "")
    return replace(job, target=job.root / name[: len(name) - len(packed)], unpack=bool(packed))


def _unknown(name: str, known: list[str]) -> UsageError:
    spelled = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), spelled, n=1, cutoff=0.6)
    meant = f"Did you mean {spelled[close[0]]}? See" if close else "See"
    return UsageError(f"Nothing called {name} is known.", f"{meant} mambair fetch --list, or give an address.")
