"""What a file of weights says of a network of BasicSR: a constructor's name and plain options."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mambair_archs import ARCHITECTURES

from ...errors import ModelError
from ...weights import files

KEY = files.NETWORK


def made(network: Mapping[str, Any], scale: int) -> dict[str, str]:
    """What a file of weights says of a network of BasicSR; nothing of ours, which are known by their tensors."""
    if network["type"] in {architecture.name for architecture in ARCHITECTURES}:
        return {}
    return {KEY: json.dumps({"network_g": dict(network), "scale": scale}, sort_keys=True)}


def read(path: Path) -> dict[str, Any] | None:
    """``network_g`` and ``scale`` of a recipe; None if the file does not say it.

    Raises:
        ModelError: what it says cannot be read.
    """
    text = files.read(path)[1].get(KEY)
    try:
        said = json.loads(text) if text else None
        return said if said and isinstance(said["network_g"]["type"], str) and int(said["scale"]) > 0 else None
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"What {path} says of its network cannot be read.", "Save the weights again.") from None
