"""A node for ComfyUI: pictures of a graph, restored by our models in tiles.

A folder below ``custom_nodes`` with this ``__init__.py`` is all it takes (docs/export.md):

>>> from mambair_cli.export.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

Names in capitals are those that ComfyUI (github.com/comfyanonymous/ComfyUI) looks for.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .. import load_model, restore
from ..weights import catalog
from ..weights.model import Model

load = lru_cache(maxsize=1)(load_model)
"""The last model stays loaded from one run of a graph to the next."""


class MambairRestore:
    """Enlarges pictures, or takes away noise, JPEG artefacts or haze, as the model does."""

    CATEGORY = "image/upscaling"
    FUNCTION = "run"
    RETURN_TYPES = ("IMAGE",)
    DESCRIPTION = "Restore or enlarge pictures with mambair. A path in 'file' takes the place of the model."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple[Any, ...]]]:
        """The sockets and fields of the node; models are those that are installed."""
        names = [entry.name for entry in catalog.entries() if entry.installed]
        share = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": "Share of the result in a blend."}
        file = {"default": "", "tooltip": "Weights of any network that mambair knows: .safetensors, .pth, .onnx"}
        return {
            "required": {"image": ("IMAGE",), "model": (names,), "strength": ("FLOAT", share)},
            "optional": {"file": ("STRING", file)},
        }

    def run(self, image: Tensor, model: str, strength: float, file: str = "") -> tuple[Tensor]:
        """Restore (batch, height, width, channels), floats in [0, 1].

        Raises:
            mambair_cli.errors.MambairError: see :func:`mambair_cli.restore`; ComfyUI shows what it says.
        """
        network: Model = load(file.strip() or model)
        pictures = image.detach().float().cpu().numpy()
        results = [torch.from_numpy(restore(picture, network, strength=strength)) for picture in pictures]
        return (torch.stack(results),)


NODE_CLASS_MAPPINGS: dict[str, type] = {"MambairRestore": MambairRestore}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {"MambairRestore": "Restore (mambair)"}
