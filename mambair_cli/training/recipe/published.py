"""Recipes published with MambaIR, in our terms: what their code ignored or did in its own datasets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .locations import Document
from .mistakes import Location, dotted
from .mistakes import Path as KeyPath
from .schema import OWN_MODEL

RENAMED = {
    "path": {
        "pretrain_model_g": "pretrain_network_g",
        "pretrain_model_d": "pretrain_network_d",
        "strict_load": "strict_load_g",
    },
    "datasets": {"use_flip": "use_hflip"},
    "model_type": {"BasicVSRModel": "VideoRecurrentModel"},
}
"""Names that BasicSR had before 1.3, in its own recipes to this day."""

UNREAD_BY = {"Vimeo90KRecurrentDataset": ("interval_list",)}
"""Keys that BasicSR's recipes give to data sets which read no such key."""

MODELS = ("MambaIRv2Model", "MambaIRv2LightModel")
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
    notes: list[tuple[Location, str]] = []

    def note(path: KeyPath, text: str) -> None:
        place = document.place(path, key=True)
        notes.append((place, f"{place}: {dotted(path)}: {text}."))

    data = document.data
    if data.get("model_type") in MODELS:
        note(("model_type",), f"{data['model_type']} is {OWN_MODEL} here")
        data["model_type"] = OWN_MODEL
    if newer := RENAMED["model_type"].get(str(data.get("model_type"))):
        note(("model_type",), f"{data['model_type']} is {newer} by now")
        data["model_type"] = newer
    _renamed(data, ("path",), RENAMED["path"], note)
    if "save_img" in data:
        note(("save_img",), "ignored, as BasicSR does; val.save_img counts")
        del data["save_img"]
    _network(_mapping(data.get("network_g")), note)
    for name, dataset in _mapping(data.get("datasets")).items():
        _dataset(name, _mapping(dataset), note)
        _folders(name, _mapping(dataset), note)
        _renamed(data, ("datasets", name), RENAMED["datasets"], note)
        for key in UNREAD_BY.get(str(_mapping(dataset).get("type")), ()):
            if key in dataset:
                note(("datasets", name, key), f"{dataset['type']} has no such option; ignored, as BasicSR does")
                del dataset[key]
    val = _mapping(data.get("val"))
    for name in [name for name in UNREAD if name in val]:
        note(("val", name), "ignored, as published code does")
        del val[name]
    return [text for _, text in sorted(notes)]


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _renamed(data: dict[str, Any], place: KeyPath, names: dict[str, str], note: Note) -> None:
    """Keys under the names of today."""
    section = data
    for key in place:
        section = _mapping(section.get(str(key)))
    for old, new in names.items():
        if old in section and new not in section:
            note((*place, old), f"{new} by now")
            section[new] = section.pop(old)


def _network(options: dict[str, Any], note: Note) -> None:
    for name, harmless in SWALLOWED.get(str(options.get("type")), {}).items():
        if name in options and (harmless is ... or options[name] == harmless):
            note(("network_g", name), f"{options['type']} has no such option; ignored, as published code does")
            del options[name]


def _folders(name: str, options: dict[str, Any], note: Note) -> None:
    """Absolute folders of other machines, and lists of one folder."""
    for key in ("dataroot_gt", "dataroot_lq"):
        value = options.get(key)
        folders = value if isinstance(value, list) else [value]
        if isinstance(value, list) and len(value) == 1:
            options[key] = value[0]
        if any(isinstance(one, str) and Path(one).is_absolute() and not Path(one).exists() for one in folders):
            note(("datasets", name, key), "no such folder on this machine; override it")


def _dataset(name: str, options: dict[str, Any], note: Note) -> None:
    """What ``task`` makes of pairs, by a dataset that does it."""
    if options.get("type") != "PairedImageDataset" or "task" not in options:
        return
    task, noise, path = options["task"], options.get("noise"), ("datasets", name, "task")
    if task == "SR":
        note(path, "ignored, pairs of images need none")
    elif task in ("denoising_color", "denoising_gray") and isinstance(noise, int | float):
        _made(name, options, {"type": "noise", "sigma": noise}, gray=task == "denoising_gray")
        note(path, f"{options['type']} adds noise of sigma {noise} to dataroot_gt")
    elif task == "CAR" and name != "train":
        options |= {"type": "PhotoFolderDataset", "gray": True}
        options.pop("io_backend", None)
        note(path, "PhotoFolderDataset reads both folders in gray")
    elif task == "CAR" and (quality := Path(str(options.get("dataroot_lq"))).name).isdecimal():
        _made(name, options, {"type": "jpeg", "quality": int(quality)}, gray=True)
        note(path, f"{options['type']} compresses dataroot_gt with quality {quality}, the name of dataroot_lq")
    else:
        return  # and the schema reports it
    del options["task"]
    options.pop("noise", None)


def _made(name: str, options: dict[str, Any], degradation: dict[str, Any], gray: bool) -> None:
    """A dataset that degrades the one folder that is needed."""
    for key in ("dataroot_lq", "filename_tmpl", "io_backend"):
        options.pop(key, None)
    kind = "PhotoPatchDataset" if name == "train" else "PhotoFolderDataset"
    options |= {"type": kind, "degradation": degradation} | ({"gray": True} if gray else {})
