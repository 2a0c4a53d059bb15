"""Recipes of other toolkits: recognised, so that the message says more than that every key is unknown."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import UsageError

MODELS = {
    "HATModel": "HAT",
    "DATModel": "DAT",
    "ImageRestorationModel": "NAFNet",
    "ImageCleanModel": "Restormer",
    "image": "neosr",
    "otf": "neosr",
}
"""Toolkits by their ``model_type``."""

KAIR = re.compile(r'"(netG|dataroot_H|gpu_ids)"\s*:')
WHAT = "{path} is a recipe of {toolkit}, which mambair does not run."
HINT = (
    "Write one in BasicSR's layout, as options/lightSR_x2.yml is, with model_type: MambaIRModel; a network that is not"
    " known here can be a plugin (docs/plugins.md)."
)


def refuse_text(path: Path, text: str) -> None:
    """Refuse files that are no YAML.

    Raises:
        UsageError: it is a recipe of another toolkit, or one in another language.
    """
    if path.suffix.lower() == ".toml":
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            data = {}
        raise _refusal(path, "neosr" if "network_g" in data else "a toolkit that takes TOML")
    if path.suffix.lower() == ".json" and KAIR.search(text):
        raise _refusal(path, "KAIR")


def refuse(path: Path, data: Mapping[str, Any]) -> None:
    """Refuse recipes that only look like BasicSR's.

    Raises:
        UsageError: it is a recipe of another toolkit.
    """
    train = data.get("train")
    if toolkit := MODELS.get(str(data.get("model_type"))):
        raise _refusal(path, toolkit)
    if "network_G" in data or (isinstance(train, Mapping) and isinstance(train.get("losses"), list)):
        raise _refusal(path, "traiNNer")


def _refusal(path: Path, toolkit: str) -> UsageError:
    return UsageError(WHAT.format(path=path, toolkit=toolkit), HINT)
