"""Open weight files without trusting them: safetensors, and pickles restricted to tensors."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import ModelError

MAX_BYTES = 4 << 30
CONTAINERS = ("params_ema", "params", "state_dict")
AGAIN = "Download it again."


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by key (prefix ``module.`` removed) and the metadata of a .safetensors, .pth or .pt file.

    Raises:
        ModelError: the file is missing, too large, damaged, a web page, unsafe or not a set of tensors.
    """
    _check_file(path)
    metadata: dict[str, str] = {}
    if path.suffix.lower() == ".safetensors":
        tensors, metadata = _safetensors(path)
    else:
        tensors = _tensors(path, _pickle(path))
    prefixed = all(key.startswith("module.") for key in tensors)
    return {key.removeprefix("module.") if prefixed else key: value for key, value in tensors.items()}, metadata


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512).lstrip().lower()
    except FileNotFoundError:
        raise ModelError(
            f"The model file {path} does not exist.", "Check the name, or see mambair models list."
        ) from None
    except OSError as error:
        raise ModelError(
            f"The model file {path} cannot be read: {error.strerror}.", "Give a file you may read."
        ) from None
    if size == 0:
        raise ModelError(f"The model file {path} is empty.", AGAIN)
    if size > MAX_BYTES:
        raise ModelError(f"The model file {path} has {size >> 20} MiB, more than any known model.", "Check the file.")
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ModelError(
            f"{path} is a web page, not a model; the download was probably refused.",
            "Open its address in a browser, or try again later: such servers limit downloads per day.",
        )


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"The model file {path} is damaged or truncated ({error}).", AGAIN) from error


def _pickle(path: Path) -> Any:
    try:
        _check_archive(path)
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise ModelError(
                f"The model file {path} holds Python objects, which could run any code; it was not loaded.",
                "Use a file that holds only tensors, best a .safetensors file.",
            ) from None
        raise ModelError(f"The model file {path} is not a file of weights; it was not loaded.", AGAIN) from None
    except Exception as error:  # damage shows in any of a dozen ways, each of them a reason not to use the file
        raise ModelError(f"The model file {path} is damaged or truncated ({type(error).__name__}).", AGAIN) from error


def _check_archive(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise ModelError(f"The model file {path} unpacks to more than any known model.", "Do not use it.")


def _tensors(path: Path, content: Any) -> dict[str, Tensor]:
    """The state_dict inside a checkpoint, which may be wrapped as BasicSR does."""
    if isinstance(content, Mapping):
        content = next((content[name] for name in CONTAINERS if isinstance(content.get(name), Mapping)), content)
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return {str(key): _dense(path, str(key), value) for key, value in content.items()}
        found = ", ".join(map(str, list(content)[:5])) or "nothing"
        raise ModelError(f"The model file {path} holds no set of tensors, but {found}.", "Give a file of weights.")
    raise ModelError(f"The model file {path} holds a {type(content).__name__}.", "Give a file of weights.")


def _dense(path: Path, key: str, value: Tensor) -> Tensor:
    if value.layout != torch.strided or value.is_complex() or value.is_quantized:
        raise ModelError(f"The model file {path} holds {key} as no plain tensor of numbers.", "Give plain weights.")
    return value
