"""Low-quality files from good ones, many at a time; what is there already is kept, so a run can be taken up again."""

import math
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from PIL import ExifTags, Image

from ..errors import InputError, MambairError
from ..files import locks
from ..files.outputs import publish, reserved
from ..images.encode import encode
from ..images.picture import Picture
from ..locations import either
from ..locations.url import Location, Url
from . import degrade, photos
from .degradations import Box, Haze, Noise, spoilt
from .degrade import Bytes
from .resize import imresize

Make = Callable[[Bytes], bytes]
"""From the pixels of a photo to the content of a file."""


@dataclass(frozen=True)
class Derivation:
    """A photo, and the files to be made of it."""

    source: Location
    outputs: tuple[tuple[Location, Make], ...]
    gray: bool = False


@dataclass
class Summary:
    """What became of the jobs: files made, files that were there, and messages by photo."""

    made: int = 0
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)


Made = tuple[int, int] | MambairError
"""Of one job: files made and files that were there, or why there are none."""

Work = Callable[[Sequence[Derivation], bool], Generator[tuple[Derivation, Made], None, None]]
"""Does the jobs, making files again that are there if it is told so, and tells of each when it is done."""


def run(
    jobs: Sequence[Derivation],
    progress: Callable[[int, int], None],
    overwrite: bool = False,
    work: Work | None = None,
) -> Summary:
    """Do the jobs; a photo that fails does not stop the others.

    Args:
        jobs: what is to be done.
        progress: told of jobs done and in total.
        overwrite: make files again that are there.
        work: does the jobs; on all cores of this machine, unless something else is given.

    Raises:
        InputError: two photos would become the same file.
    """
    _check_names(jobs)
    report = Summary()
    with closing((work or by_threads)(jobs, overwrite)) as every:
        for number, (job, made) in enumerate(every, start=1):
            if isinstance(made, MambairError):
                report.failed[str(job.source)] = made.message
            else:
                report.made, report.kept = report.made + made[0], report.kept + made[1]
            progress(number, len(jobs))
    _sweep(jobs)
    return report


def by_threads(jobs: Sequence[Derivation], overwrite: bool) -> Generator[tuple[Derivation, Made], None, None]:
    """On all cores of this machine."""
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        running = {pool.submit(do, job, overwrite): job for job in jobs}
        for done in as_completed(running):
            yield running[done], done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _sweep(jobs: Sequence[Derivation]) -> None:
    """Remove what killed processes left beside the files."""
    for folder in {path.parent for job in jobs for path, _ in job.outputs}:
        if isinstance(folder, Path):
            with suppress(OSError):
                locks.sweep(folder)


def _check_names(jobs: Sequence[Derivation]) -> None:
    counts = Counter(path for job in jobs for path, _ in job.outputs)
    if doubled := [path.name for path, count in counts.items() if count > 1]:
        raise InputError(
            f"Photos of the same name in several folders would all become {doubled[0]}.",
            "Give them names of their own.",
        )
    inputs = {either.real(job.source) for job in jobs}
    if eaten := [path for path in counts if either.real(path) in inputs]:
        raise InputError(f"{eaten[0]} is one of the photos, and would be replaced.", "Choose another folder with -o.")


def do(job: Derivation, overwrite: bool) -> Made:
    """One job."""
    wanted = [output for output in job.outputs if overwrite or not either.exists(output[0])]
    try:
        if wanted:
            photo = photos.load(job.source, job.gray)
            for path, make in wanted:
                _write(path, make(photo), overwrite)
    except MambairError as error:
        return error
    return len(wanted), len(job.outputs) - len(wanted)


def _write(path: Location, data: bytes, overwrite: bool) -> None:
    if isinstance(path, Url):
        from ..locations import objects

        objects.write(path, data, overwrite)
        return
    with reserved(path) as temporary:
        publish(temporary, path, data, overwrite)


def png(pixels: Bytes) -> bytes:
    """A PNG file."""
    return encode(Picture(pixels), ".png")


def cropped(photo: Bytes, multiple: int) -> Bytes:
    """Without the rows and columns at the end that make no full multiple."""
    height, width = (edge - edge % multiple for edge in photo.shape[:2])
    return photo[:height, :width]


def sr(paths: Iterable[Location], folder: Location, scales: Sequence[int], with_good: bool) -> list[Derivation]:
    """Pairs for super-resolution, in the published layout: ``LR_bicubic/X2/NAMEx2.png`` and so on.

    ``with_good`` also writes ``HR/NAME.png``, cut so that every scale divides it; the reduced ones are made of that.
    """
    common = math.lcm(*scales) if with_good else 1

    def reduce(photo: Bytes, scale: int) -> bytes:
        return png(imresize(cropped(cropped(photo, common), scale), 1 / scale))

    def outputs(path: Location) -> Iterator[tuple[Location, Make]]:
        if with_good:
            yield folder / "HR" / f"{path.stem}.png", lambda photo: png(cropped(photo, common))
        for scale in scales:
            place = folder / "LR_bicubic" / f"X{scale}" / f"{path.stem}x{scale}.png"
            yield place, partial(reduce, scale=scale)

    return [Derivation(path, tuple(outputs(path))) for path in paths]


def jpeg(paths: Iterable[Location], folder: Location, qualities: Sequence[int], gray: bool) -> list[Derivation]:
    """JPEG files ``QUALITY/NAME.jpg``, as ``DFWB_CAR/LQ`` holds them."""
    return [
        Derivation(
            path,
            tuple(
                (folder / str(quality) / f"{path.stem}.jpg", partial(degrade.jpeg_file, quality=quality))
                for quality in qualities
            ),
            gray,
        )
        for path in paths
    ]


def noise(paths: Iterable[Location], folder: Location, sigmas: Sequence[float]) -> list[Derivation]:
    """Noisy PNG files ``SIGMA/NAME.png``, clipped and rounded; each file's noise depends on its name."""

    def make(photo: Bytes, path: Location, sigma: float) -> bytes:
        strength = Noise((sigma, sigma), clip_probability=1)
        return png(spoilt(strength, photo, path))

    return [
        Derivation(
            path, tuple((folder / f"{s:g}" / f"{path.stem}.png", partial(make, path=path, sigma=s)) for s in sigmas)
        )
        for path in paths
    ]


def haze(paths: Iterable[Location], folder: Location, hazes: Haze) -> list[Derivation]:
    """Hazy PNG files ``NAME.png``, the depth and the light depending on the name."""

    def make(photo: Bytes, path: Location) -> bytes:
        return png(degrade.stored(spoilt(hazes, photo, path)))

    return [Derivation(path, ((folder / f"{path.stem}.png", partial(make, path=path)),)) for path in paths]


def crops(paths: Iterable[Location], folder: Location, size: int, step: int) -> list[Derivation]:
    """Squares ``NAME_s001.png`` of ``size`` pixels every ``step`` pixels, up to the far borders."""

    def cut(photo: Bytes, box: Box) -> bytes:
        return png(box.cut(photo))

    jobs = []
    for path in paths:
        rows, columns = (_starts(length, size, step) for length in _size(path))
        boxes = [Box(top, left, size, size) for top in rows for left in columns]
        names = [f"{path.stem}_s{number:03}.png" for number in range(1, len(boxes) + 1)]
        outputs = [(folder / name, partial(cut, box=box)) for name, box in zip(names, boxes, strict=True)]
        jobs.append(Derivation(path, tuple(outputs)))
    return jobs


def _size(path: Location) -> tuple[int, int]:
    """Height and width of the upright picture."""
    with either.opened(path) as file, Image.open(file) as image:
        width, height = image.size
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) > 4
    return (width, height) if turned else (height, width)


def _starts(length: int, size: int, step: int) -> list[int]:
    """Evenly spaced, and one more that ends at the border."""
    starts = list(range(0, length - size + 1, step))
    return starts + [length - size] * (starts[-1] + size < length)
