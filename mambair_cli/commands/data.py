"""``mambair data``: prepare and check folders of images."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import Console
from ..errors import InputError, UsageError
from ..locations.either import is_folder
from ..locations.url import Location, Url, located, refuse
from .common import command

if TYPE_CHECKING:
    from ..data.prepare import Derivation, Work

app = typer.Typer(no_args_is_help=True, help="Prepare data for training and testing, or check it.")
prepare = typer.Typer(no_args_is_help=True, help="Make low-quality images, parts or databases of good images.")
app.add_typer(prepare, name="prepare")

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of good images, or a URL such as s3://...")]
Output = Annotated[
    str | None, typer.Option("-o", "--output", metavar="FOLDER", help="Where to write.", show_default=False)
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="auto|local|ADDRESS",
        help="Share the images among the nodes of a Ray cluster: the running one, one started here, or HOST:PORT.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make files again that are there.")]


def _sr(
    console: Console,
    folder: Folder,
    scale: Annotated[list[int] | None, typer.Option("--scale", min=1, help="Default: 2, 3 and 4.")] = None,
    output: Output = None,
    overwrite: Overwrite = False,
    cluster: Cluster = None,
) -> None:
    """Reduce images as MATLAB does, for super-resolution.

    A folder called HR gets LR_bicubic/X2, X3, X4 beside it. With -o that layout is made from any folder of photos, HR
    being cut so that every scale divides it.
    """
    from ..data import photos, prepare

    home = located(folder)
    if output is None and is_folder(home / "HR"):
        home = home / "HR"
    if output is None and home.name != "HR":
        raise UsageError(f"{folder} is no folder called HR.", "Say with -o where the pairs shall go.")
    place = located(output) if output else home.parent
    jobs = prepare.sr(photos.search(home), place, scale or [2, 3, 4], output is not None)
    _run(console, jobs, place, overwrite, cluster)


def _jpeg(
    console: Console,
    folder: Folder,
    quality: Annotated[list[int] | None, typer.Option("--quality", min=1, max=100, help="Default: 10, 30, 40.")] = None,
    gray: Annotated[bool, typer.Option("--gray", help="Luma only.")] = False,
    output: Output = None,
    overwrite: Overwrite = False,
    cluster: Cluster = None,
) -> None:
    """Compress images as JPEG, into LQ/10, LQ/30, LQ/40 beside the folder."""
    from ..data import photos, prepare

    home, place = _places(folder, output, "LQ")
    jobs = prepare.jpeg(photos.search(home), place, quality or [10, 30, 40], gray)
    _run(console, jobs, place, overwrite, cluster)


def _noise(
    console: Console,
    folder: Folder,
    sigma: Annotated[list[float] | None, typer.Option("--sigma", min=0, max=255, help="Default: 15, 25, 50.")] = None,
    output: Output = None,
    overwrite: Overwrite = False,
    cluster: Cluster = None,
) -> None:
    """Add Gaussian noise to images, into LQ/15, LQ/25, LQ/50 beside the folder."""
    from ..data import photos, prepare

    home, place = _places(folder, output, "LQ")
    _run(console, prepare.noise(photos.search(home), place, sigma or [15, 25, 50]), place, overwrite, cluster)


def _haze(
    console: Console,
    folder: Folder,
    beta: Annotated[
        tuple[float, float], typer.Option("--beta", metavar="LOW HIGH", help="How thick: 0.5 is thin, 3 is thick.")
    ] = (0.4, 2.5),
    output: Output = None,
    overwrite: Overwrite = False,
    cluster: Cluster = None,
) -> None:
    """Add haze to clear images, into the folder hazy beside theirs."""
    from ..data import photos, prepare
    from ..data.combined import from_options

    home, place = _places(folder, output, "hazy")
    hazes: Any = from_options({"type": "haze", "beta": list(beta)}, 1)
    _run(console, prepare.haze(photos.search(home), place, hazes), place, overwrite, cluster)


def _crops(
    console: Console,
    folder: Folder,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FOLDER", help="Where to write.")],
    size: Annotated[int, typer.Option("--size", min=1, help="Edge of a part in pixels.")] = 480,
    step: Annotated[int, typer.Option("--step", min=1, help="Pixels from one part to the next.")] = 240,
    overwrite: Overwrite = False,
    cluster: Cluster = None,
) -> None:
    """Cut large images into overlapping squares that load quickly.

    For pairs, cut both folders, the smaller images with size and step divided by the scale.
    """
    from ..data import photos, prepare

    place, paths = located(output), photos.search(located(folder))
    photos.check_sizes(paths, size)
    _run(console, prepare.crops(paths, place, size, step), place, overwrite, cluster)


def _lmdb(
    console: Console,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of good images.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Where to write.", show_default=False)
    ] = None,
    suffix: Annotated[
        str, typer.Option("--suffix", help="End of the names that keys leave out, such as x2.", show_default=False)
    ] = "",
) -> None:
    """Put images into an LMDB database, as BasicSR reads it."""
    from ..data import photos

    try:
        from ..data import lmdb_store
    except ModuleNotFoundError:
        raise InputError("LMDB is not installed.", 'Run pip install "mambair[train]".') from None
    for given in (folder, output):
        refuse(given, "Databases are made in folders of this machine", "Copy the images to it first.")
    paths = photos.find(folder)
    place = output or folder.resolve().with_suffix(".lmdb")
    with console.progress(str(folder), "images") as progress:
        lmdb_store.write(paths, place, suffix, progress)
    console.data(str(place), {"output": str(place), "images": len(paths)})


def _check(
    console: Console,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a data set.")],
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="NAME", help="Expect the folders of this set of the catalogue.")
    ] = None,
) -> None:
    """Read every image, and report what is missing, extra, unpaired, of the wrong size or unreadable."""
    from ..data import catalog
    from ..data.check import check

    entry = catalog.by_name(layout) if layout else None
    if layout and entry is None:
        raise UsageError(f"The catalogue has no data set {layout}.", "See mambair fetch --list.")
    with console.progress(str(folder), "images") as progress:
        count, compared, problems = check(folder, entry.layout if entry else (), progress)
    for problem in problems:
        detail = f" ({problem.detail})" if problem.detail else ""
        record = {"problem": problem.kind, "path": str(problem.path), "detail": problem.detail}
        console.data(f"{problem.kind}: {problem.path}{detail}", record)
    found = f"{count} images, {len(compared)} pairs of folders, {len(problems)} problems"
    if console.json:
        console.data("", {"images": count, "compared": len(compared), "problems": len(problems)})
    console.note(f"{found}.")
    if problems:
        raise InputError(f"{folder} is not in order: {found}.", "Fetch or prepare again what is named above.")


def _places(folder: str, output: str | None, name: str) -> tuple[Location, Location]:
    """Where images are, and where others go: by default beside them."""
    home = located(folder)
    return home, located(output) if output else (home if isinstance(home, Url) else home.resolve()).parent / name


def _run(console: Console, jobs: "list[Derivation]", place: Location, overwrite: bool, cluster: str | None) -> None:
    from ..data.prepare import run

    with _work(jobs, cluster) as work, console.progress(str(place), "images") as progress:
        report = run(jobs, progress, overwrite, work)
    record = {"output": str(place), "made": report.made, "kept": report.kept, "failed": report.failed}
    console.data(str(place), record)
    console.note(f"{report.made} files made, {report.kept} were there.")
    if report.failed:
        messages = " ".join(list(report.failed.values())[:3])
        raise InputError(f"{len(report.failed)} of {len(jobs)} images failed: {messages}", "Replace them, then go on.")


@contextmanager
def _work(jobs: "list[Derivation]", cluster: str | None) -> "Iterator[Work | None]":
    """Who does the jobs."""
    if cluster is None:
        yield None
        return
    from ..cluster.connection import connected
    from ..cluster.preparing import Tasks

    for url in {place for job in jobs for place in (job.source, job.outputs[0][0]) if isinstance(place, Url)}:
        from ..locations import objects

        objects.check_shared(url)
    with connected(cluster, os.cpu_count() or 1) as ray:
        yield Tasks(ray)


COMMANDS: dict[str, Callable[..., None]] = {
    "sr": _sr,
    "jpeg": _jpeg,
    "noise": _noise,
    "haze": _haze,
    "crops": _crops,
    "lmdb": _lmdb,
}
for _name, _function in COMMANDS.items():
    prepare.command(_name)(command(_function))
app.command("check")(command(_check))
