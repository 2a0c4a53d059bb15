"""Images in one LMDB file, as BasicSR reads them: PNG content by name, and ``meta_info.txt`` with names and sizes."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import lmdb
import numpy as np

from ..errors import InputError, OutputError
from ..files import atomic, locks
from . import photos

LEVEL = 1
"""Compression of the PNG content: quick to read."""

BATCH = 64


def write(paths: Sequence[Path], target: Path, suffix: str, progress: Callable[[int, int], None]) -> None:
    """Write all images into the folder ``target``, which is there in full or not at all.

    Args:
        paths: image files.
        target: a folder whose name ends in .lmdb.
        suffix: what the keys leave out at the end of the names, such as ``x2``: both images of a pair need one key.
        progress: told how many are done.

    Raises:
        InputError: an image cannot be read, or two would have the same key.
        OutputError: the folder is there already, has another name, or cannot be written.
    """
    if target.suffix != ".lmdb":
        raise OutputError(f"{target} does not end in .lmdb, which BasicSR expects.", f"Use -o {target}.lmdb.")
    if target.exists():
        raise OutputError(f"{target} exists already.", "Remove it, or choose another name with -o.")
    keys = [path.stem.removesuffix(suffix) for path in paths]
    if doubled := [key for key, count in Counter(keys).items() if count > 1]:
        raise InputError(f"Several images would have the key {doubled[0]}.", "Give them names of their own.")
    if dotted := [key for key in keys if "." in key]:
        raise InputError(f"The key {dotted[0]} holds a dot, where BasicSR lets a key end.", "Rename the image.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        locks.sweep(target.parent)
        with atomic.making(target) as unfinished:
            _fill(unfinished, paths, keys, progress)
    except (OSError, lmdb.Error) as error:
        raise OutputError(f"{target} cannot be written: {error}.", "Free some space, or choose another -o.") from None


def _fill(folder: Path, paths: Sequence[Path], keys: Sequence[str], progress: Callable[[int, int], None]) -> None:
    most = sum(path.stat().st_size for path in paths) * 40 + (64 << 20)  # an upper limit of the file, not its size
    lines = []
    with lmdb.open(str(folder), map_size=most, subdir=True) as store:
        for first in range(0, len(paths), BATCH):
            part = slice(first, first + BATCH)
            with store.begin(write=True) as transaction:
                for key, (content, shape) in zip(keys[part], _contents(paths[part]), strict=True):
                    transaction.put(key.encode("ascii", "backslashreplace"), content)
                    lines.append(f"{key}.png ({','.join(map(str, shape))}) {LEVEL}\n")
            progress(len(lines), len(paths))
    (folder / "meta_info.txt").write_text("".join(lines))


def _contents(paths: Sequence[Path]) -> Iterator[tuple[bytes, tuple[int, ...]]]:
    with ThreadPoolExecutor() as pool:
        yield from pool.map(_content, paths)


def _content(path: Path) -> tuple[bytes, tuple[int, ...]]:
    pixels = photos.load(path)
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    return cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, LEVEL])[1].tobytes(), pixels.shape
