"""Make the training photographs of the shipped models again, from the originals that ``photos.csv`` lists."""

import csv
import io
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ...console import Console
from ...errors import FetchError
from ...files import atomic, checksum, locks
from . import checks, transfer
from .failures import Unreachable
from .partial import forget
from .sources import Origin

if TYPE_CHECKING:
    from PIL.Image import Image

MANIFEST = "photos.csv"
MAX_WIDTH, MULTIPLE = 1280, 12
"""Wide photos lose their sides; sizes divide by 2, 3 and 4."""

HOSTS = (
    "https://raw.githubusercontent.com/{repository}/{commit}/{path}",
    "https://github.com/{repository}/raw/{commit}/{path}",
    "https://media.githubusercontent.com/media/{repository}/{commit}/{path}",
)
"""Where GitHub serves one file of a commit; the last has what repositories keep with Git LFS."""

IN_A_ROW = 3
"""So many failures, one after the other, mean that something else is wrong than a file."""

NOBODY = ("None of the hosts of GitHub can be reached.", "Check the network, and run the command again: it goes on.")


class NoNetwork(FetchError):
    """No host answers, so the other originals are not to be had either."""


@dataclass(frozen=True)
class ListedPhoto:
    """One photograph: what it is in the end, and what it is made from by dividing its size by ``shrink``."""

    file: str
    width: int
    height: int
    sha256: str
    shrink: float
    repository: str
    commit: str
    path: str
    source_sha256: str
    licence: str

    @property
    def sources(self) -> tuple[Origin, ...]:
        """Where the original can be had."""
        path = quote(self.path)
        return tuple(
            Origin("url", host.format(repository=self.repository, commit=self.commit, path=path)) for host in HOSTS
        )


def manifest() -> str:
    """The packaged list, as it stands."""
    return files("mambair_datasets").joinpath(MANIFEST).read_text(encoding="utf-8")


def listed(text: str) -> list[ListedPhoto]:
    """The photographs of a manifest."""
    return [
        ListedPhoto(
            file=row["file"],
            width=int(row["width"]),
            height=int(row["height"]),
            sha256=row["sha256"],
            shrink=float(row["shrink"]),
            repository=row["source_repo"].removeprefix("github:"),
            commit=row["source_commit"],
            path=row["source_path"],
            source_sha256=row["source_sha256"],
            licence=row["licence"],
        )
        for row in csv.DictReader(io.StringIO(text))
    ]


def build(work: Path, console: Console, patience: transfer.Patience) -> tuple[Path, str, int]:
    """Make all photographs in a folder below ``work``, going on with what an earlier run made.

    Returns:
        The folder, the sha256 of the manifest and the size of all files in bytes.

    Raises:
        FetchError: some originals are not to be had, or are not what they were.
        OSError: something cannot be written.
    """
    text, folder = manifest(), work / "photos"
    folder.mkdir(exist_ok=True)
    locks.sweep(folder)
    photos = listed(text)
    failed: list[str] = []
    in_a_row = 0
    with console.progress("photos", "photos") as progress:
        for number, photo in enumerate(photos, start=1):
            try:
                _make(photo, folder, work / "original", patience)
                in_a_row = 0
            except NoNetwork:
                raise
            except FetchError as error:
                console.warn(f"{photo.file}: {error.message}")
                failed.append(photo.file)
                in_a_row += 1
            if in_a_row == IN_A_ROW:
                raise FetchError(f"{IN_A_ROW} originals in a row cannot be had.", "Run the command again: it goes on.")
            progress(number, len(photos))
    if failed:
        raise FetchError(
            f"{len(failed)} of {len(photos)} photographs cannot be made: {', '.join(failed)}.",
            f"Run the command again: it goes on. The others are in {folder}.",
        )
    _report(photos, folder, console)
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    return folder, checksum.of_text(text), sum(path.stat().st_size for path in folder.iterdir())


def _report(photos: list[ListedPhoto], folder: Path, console: Console) -> None:
    differing = sum(checksum.of_file(folder / photo.file) != photo.sha256 for photo in photos)
    if differing:
        console.note(
            f"{differing} of {len(photos)} files were made from the right originals but differ in their bytes from"
            " those of the manifest: another version of the JPEG encoder wrote them."
        )


def _make(photo: ListedPhoto, folder: Path, original: Path, patience: transfer.Patience) -> None:
    target = folder / photo.file
    if target.is_file():
        return
    _original(photo, original, patience)
    try:
        _write(photo, original, target)
    finally:
        forget(original)
        original.unlink()


def _original(photo: ListedPhoto, target: Path, patience: transfer.Patience) -> None:
    """Fetch and verify an original."""
    expected = checks.Expected(sha256=photo.source_sha256, origin="the manifest")
    failures: list[FetchError] = []
    for source in photo.sources:
        silent = bool(failures) and isinstance(failures[-1], Unreachable)
        try:
            patient = replace(patience, retries=0) if silent else patience
            digest = transfer.transfer(source, target, expected, patient, lambda done, total: None)
            checks.check_content(target, source.url)
            expected.check_digest(digest, source.url)
            return
        except FetchError as error:
            failures.append(error)
            forget(target)
            target.unlink(missing_ok=True)
    unreachable = all(isinstance(error, Unreachable) for error in failures)
    raise NoNetwork(*NOBODY) if unreachable else failures[0]


def _write(photo: ListedPhoto, original: Path, target: Path) -> None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(original) as opened:
            image = processed(opened, photo.shrink)
    except (UnidentifiedImageError, OSError) as error:
        raise FetchError(f"The original of {photo.file} cannot be read ({error}).", "Update Pillow.") from None
    if image.size != (photo.width, photo.height):
        raise FetchError(
            f"{photo.file} comes out as {image.width} x {image.height}, not {photo.width} x {photo.height}.",
            "Report it: the manifest and the processing disagree.",
        )
    with atomic.replacing(target) as temporary:
        image.save(temporary, "JPEG", quality=97, subsampling=0, optimize=True)


def processed(original: "Image", shrink: float) -> "Image":
    """The pixels of a photograph: upright, RGB, reduced ``shrink`` times, at most 1280 wide, sides multiples of 12."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(original).convert("RGB")
    if shrink != 1:
        image = image.resize((round(image.width / shrink), round(image.height / shrink)), Image.Resampling.LANCZOS)
    left = max(0, (image.width - MAX_WIDTH) // 2)
    width, height = (side // MULTIPLE * MULTIPLE for side in (min(image.width, MAX_WIDTH), image.height))
    return image.crop((left, 0, left + width, height))
