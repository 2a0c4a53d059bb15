"""Recipes published with MambaIR, in our terms: what their code ignored or did in its own datasets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .marked import Document
from .mistakes import Path as KeyPath
from .mistakes import dotted
from .schema import OWN_MODEL

MODELS = {"MambaIRv2Model", "MambaIRv2LightModel"}
"""Copies of MambaIRModel under other names."""

SWALLOWED: dict[str, dict[str, Any]] = {
    "MambaIR": {"window_size": ..., "interval": ..., "num_heads": ..., "patch_size": 1, "patch_norm": True},
    "MambaIRv2": {"interval": ..., "patch_size": 1, "patch_norm": True, "ape": False},
    "MambaIRUNet": {"heads": ..., "window_size": ..., "interval": ...},
}
SWALLOWED["MambaIRv2Light"] = SWALLOWED["MambaIRv2"]
"""Options that the published constructors took and did nothing with; some only for the value given."""

UNREAD = ("selfensemble_testing", "patchwise_testing")
"""Options of val that nothing published reads."""

Note = Callable[[KeyPath, str], None]


def translate(document: Document) -> list[str]:
    """Rewrite a published recipe in place; returns what was done, one sentence with a place for each."""
    notes: list[str] = []

    def note(path: KeyPath, text: str) -> None:
        notes.append(f"{document.place(path, key=True)}: {dotted(path)}: {text}.")

    data = document.data
    if data.get("model_type") in MODELS:
        note(("model_type",), f"{data['model_type']} is {OWN_MODEL} here")
        data["model_type"] = OWN_MODEL
    _network(data.get("network_g"), note)
    for name, dataset in _mapping(data.get("datasets")).items():
        _dataset(name, _mapping(dataset), note)
    val = _mapping(data.get("val"))
    for name in [name for name in UNREAD if name in val]:
        note(("val", name), "ignored, as published code does")
        del val[name]
    return notes


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _network(options: Any, note: Note) -> None:
    options = _mapping(options)
    for name, harmless in SWALLOWED.get(str(options.get("type")), {}).items():
        if name in options and (harmless is ... or options[name] == harmless):
            note(("network_g", name), f"{options['type']} has no such option; ignored, as published code does")
            del options[name]


def _dataset(name: str, options: dict[str, Any], note: Note) -> None:
    path = ("datasets", name)
    for root in ("dataroot_gt", "dataroot_lq"):
        if isinstance(options.get(root), list) and len(options[root]) == 1:
            options[root] = options[root][0]
        folders = options.get(root) if isinstance(options.get(root), list) else [options.get(root)]
        for folder in folders or []:
            if isinstance(folder, str) and Path(folder).is_absolute() and not Path(folder).exists():
                note((*path, root), f"{folder} is not on this machine; override it with {dotted((*path, root))}=...")
    if options.get("type") != "PairedImageDataset" or "task" not in options:
        return
    task = options.pop("task")
    if task == "SR":
        note((*path, "task"), "ignored, paired images need none")
    elif task in ("denoising_color", "denoising_gray") and isinstance(options.get("noise"), int | float):
        sigma = options.pop("noise")
        _unpair(name, options, {"degradation": {"type": "noise", "sigma": [sigma, sigma]}}, task == "denoising_gray")
        note((*path, "task"), f"{options['type']} makes noise of sigma {sigma} from dataroot_gt")
    elif task == "CAR" and name != "train":
        options["type"] = "PhotoFolderDataset"
        options["gray"] = True
        options.pop("io_backend", None)
        note((*path, "task"), "PhotoFolderDataset reads both folders in gray")
    else:
        options["task"] = task


def _unpair(name: str, options: dict[str, Any], made: dict[str, Any], gray: bool) -> None:
    """One folder in place of two that are the same."""
    options["type"] = "PhotoPatchDataset" if name == "train" else "PhotoFolderDataset"
    for key in ("dataroot_lq", "filename_tmpl", "io_backend"):
        options.pop(key, None)
    options.update(made)
    if gray:
        options["gray"] = True
