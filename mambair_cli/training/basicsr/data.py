"""What is wrong with the data sets of BasicSR 1.4.2; one function per defect, applied after its import."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ...data import pairs, photos
from ...errors import InputError

GRAY = (0.299, 0.587, 0.114)
"""BT.601, of values from black to white in full."""


def apply() -> None:
    """All of them."""
    list_images_in_order()
    pair_by_stem()
    name_unreadable_files()
    read_gray()


def _modules(name: str) -> Iterator[ModuleType]:
    """BasicSR's modules of data sets that have imported ``name``."""
    found = [module for key, module in sys.modules.items() if key.startswith("basicsr.data.")]
    yield from (module for module in found if hasattr(module, name))


def _replace(name: str, function: Callable[..., Any]) -> None:
    for module in _modules(name):
        setattr(module, name, function)


def list_images_in_order() -> None:
    """BasicSR takes every file that is not hidden, in the order of the file system, so that a seed means nothing."""

    def paths_from_folder(folder: str) -> list[str]:
        return [str(path) for path in sorted(Path(folder).iterdir()) if photos.is_photo(path)]

    _replace("paths_from_folder", paths_from_folder)


def pair_by_stem() -> None:
    """BasicSR pairs files of one suffix, in one folder each; published recipes of MambaIR list several."""

    def paired_paths_from_folder(folders: Any, keys: Any, filename_tmpl: str) -> list[dict[str, str]]:
        low, good = ([folder] if isinstance(folder, str) else folder for folder in folders)
        return [
            {f"{keys[0]}_path": str(poor), f"{keys[1]}_path": str(clean)}
            for some, others in zip(low, good, strict=True)
            for clean, poor in pairs.in_folders(Path(others), Path(some), filename_tmpl)
        ]

    _replace("paired_paths_from_folder", paired_paths_from_folder)


def name_unreadable_files() -> None:
    """BasicSR ends in an error about None, which names no file."""
    from basicsr.utils import FileClient

    fetch, last = FileClient.get, [""]

    def get(self: Any, filepath: Any, client_key: str = "default") -> Any:
        last[0] = str(filepath)
        return fetch(self, filepath, client_key)

    FileClient.get = get
    for module in list(_modules("imfrombytes")):
        module.imfrombytes = _named(module.imfrombytes, last)  # type: ignore[attr-defined]


def _named(decode: Callable[..., Any], last: list[str]) -> Callable[..., Any]:
    import cv2

    def imfrombytes(content: bytes, flag: str = "color", float32: bool = False) -> Any:
        try:
            image = decode(content, flag, float32)
        except (AttributeError, cv2.error):  # of None, or of no bytes
            image = None
        if image is None:
            raise InputError(f"{last[0]} cannot be read as an image.", "Fetch it again, or remove it and its partner.")
        return image

    return imfrombytes


def read_gray() -> None:
    """BasicSR's ``color: y`` is luma from 16 to 235; ``color: gray`` is that from black to white."""
    from basicsr.data.paired_image_dataset import PairedImageDataset

    read = PairedImageDataset.__getitem__

    def __getitem__(self: Any, index: int) -> dict[str, Any]:
        item: dict[str, Any] = read(self, index)
        if self.opt.get("color") == "gray":
            for key in ("lq", "gt"):
                weights = item[key].new_tensor(GRAY).view(3, 1, 1)
                item[key] = (item[key] * weights).sum(0, keepdim=True)
        return item

    PairedImageDataset.__getitem__ = __getitem__
