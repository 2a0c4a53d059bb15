"""A setting that shapes do not show, kept beside the weights as a tensor of text, so that a file tells it."""

from typing import Any

import torch
from torch import Tensor, nn

from .config import InferenceError, StateDict

KEY = "scan_setting"
"""Name of the tensor: bytes of UTF-8. Published weights have none, so what they were made with is told by none."""

LONGEST = 4096


def remember(network: nn.Module, setting: str) -> None:
    """Let the weights of ``network`` tell ``setting``; weights that tell another one then do not load."""
    network.register_buffer(KEY, torch.tensor(list(setting.encode()), dtype=torch.uint8))

    def compare(module: nn.Module, state_dict: StateDict, prefix: str, *rest: Any) -> None:
        saved = state_dict.get(prefix + KEY)
        if saved is not None and _read(saved) != setting:
            rest[-1].append(f"the weights were trained with '{_read(saved)}', not '{setting}'.")

    network.register_load_state_dict_pre_hook(compare)


def told(state_dict: StateDict) -> str | None:
    """The setting that weights tell, or None.

    Raises:
        InferenceError: the tensor holds no text.
    """
    if KEY not in state_dict:
        return None
    saved = state_dict[KEY]
    if saved.dtype != torch.uint8 or saved.device.type == "meta" or saved.numel() > LONGEST:
        raise InferenceError(f"{KEY} holds no text")
    return _read(saved)


def _read(saved: Tensor) -> str:
    return bytes(saved.flatten()[:LONGEST].to(torch.uint8).tolist()).decode(errors="replace")
