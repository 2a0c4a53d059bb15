"""Networks of BasicSR, restored with like ours: their files say what was built, or the recipe in their experiment does.

Files of trainings here hold a constructor's name and plain options, see :mod:`.network_note`, beside what BasicSR
stores. BasicSR itself copies the recipe into the experiment's folder, above that of the weights.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mambair_archs import Descriptor

from ...errors import ModelError
from ...weights.model import Model
from .. import pretrained
from ..recipe import locations
from . import network_note

USUAL_TILE = 256

WEIGHTS = "models"
"""Folder of weights in that of an experiment, which holds the recipe."""


def load(path: Path, device: torch.device, said: Mapping[str, Any] | None = None) -> Model | None:
    """The model of a file of which it is said what it is; None if nothing says it.

    Args:
        path: of the weights.
        device: to run on.
        said: ``network_g`` and ``scale`` of a recipe, for a file that does not say it.

    Raises:
        ModelError: the network cannot be built, or the weights are not its own.
        MambairError: BasicSR is not installed.
    """
    said = said or network_note.read(path) or _of_experiment(path)
    if said is None or not _known(said):
        return None
    options = dict(said["network_g"])
    network = _built(path, options)
    pretrained.load(network, path, strict=True, key="params_ema")
    described = _described(options, int(said["scale"]))
    name = str(options["type"])
    return Model(path.stem, path, None, name, described, network.eval().to(device), device)


def _of_experiment(path: Path) -> Mapping[str, Any] | None:
    """``network_g`` and ``scale`` of the recipes above ``models``; None if there are none, or they do not agree."""
    if path.parent.name != WEIGHTS:
        return None
    found: list[dict[str, Any]] = []
    for recipe in sorted(path.parent.parent.glob("*.yml")):
        data = locations.read(recipe.read_text(encoding="utf-8", errors="replace"), str(recipe)).data
        network = data.get("network_g") if isinstance(data, dict) else None
        if isinstance(network, dict) and isinstance(network.get("type"), str):
            said = {"network_g": network, "scale": data.get("scale") or 1}
            found += [said] if said not in found else []
    return found[0] if len(found) == 1 else None


def _known(said: Mapping[str, Any]) -> bool:
    from .signatures import registered

    return said["network_g"]["type"] in registered("archs")


def _built(path: Path, options: dict[str, Any]) -> nn.Module:
    from . import bridge

    bridge.load()
    from basicsr.archs import build_network

    try:
        with warnings.catch_warnings(action="ignore"):  # about spellings of 2022 that still work
            network: nn.Module = build_network(dict(options))
    except (TypeError, ValueError, AssertionError) as error:
        raise ModelError(
            f"The network {options['type']} of {path} cannot be built: {error}.", "Train it anew."
        ) from None
    return network


def _described(options: Mapping[str, Any], scale: int) -> Descriptor:
    """What inference has to know; the memory is that of a few copies of the features."""
    channels = int(options.get("in_chans", options.get("num_in_ch", 3)))
    width = int(options.get("embed_dim", options.get("num_feat", 64)))
    window = int(options.get("window_size", 1))
    return Descriptor(
        scale=scale,
        in_channels=channels,
        size_multiple=window,
        minimum_size=window,
        tile=USUAL_TILE,
        bytes_per_pixel=4 * (24 * width + 128 * scale**2),
    )
