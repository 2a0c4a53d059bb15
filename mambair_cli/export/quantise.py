"""Files of ONNX with weights and activations of 8 bits."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .extra import load

EDGE = 64
"""Height and width in pixels of the parts of a photo whose activations set the ranges."""

CONTRAST = 4
"""By which differences grow in the third kind of parts."""


@dataclass
class Photos:
    """What the calibration asks for inputs, in the form of onnxruntime's ``CalibrationDataReader``."""

    rest: Iterator[Tensor]

    def get_next(self) -> dict[str, Any] | None:
        """The inputs of the next run."""
        photo = next(self.rest, None)
        return None if photo is None else {"image": photo.numpy()}


def int8(content: bytes, photos: list[Tensor]) -> bytes:
    """A file whose convolutions and products of matrices work with 8 bits; scans and all else stay in float32.

    Weights have a scale per channel. The ranges of the activations are those that occur with ``photos``.

    Args:
        content: a file in float32 with the input ``image``.
        photos: each (1, channels, height, width).
    """
    quantization = load("onnx", "onnxruntime.quantization")

    with tempfile.TemporaryDirectory(prefix="mambair-") as folder, _without_advice():
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        before.write_bytes(content)
        quantization.quantize_static(
            str(before),
            str(after),
            Photos(iter(photos)),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul"],
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            activation_type=quantization.QuantType.QUInt8,
        )
        return after.read_bytes()


@contextmanager
def _without_advice() -> Iterator[None]:
    """Of onnxruntime, which asks for a step that networks of any size do not take."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def sample(channels: int) -> list[Tensor]:
    """Parts of the photo that comes with mambair, (1, channels, 64, 64) each, in raster order.

    Each comes as it is, as its negative, and with contrast up to black and white: one photo alone has few bright places
    and hard edges, and what lies beyond the ranges that it sets is cut off.
    """
    data = files("mambair_datasets").joinpath("samples/cat.png").read_bytes()
    with Image.open(BytesIO(data)) as photo:
        pixels = np.asarray(photo.convert("L" if channels == 1 else "RGB"), dtype=np.float32) / 255
    planes = torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)[None]
    height, width = planes.shape[2:]
    parts = [
        planes[:, :, top : top + EDGE, left : left + EDGE].contiguous()
        for top in range(0, height - EDGE + 1, EDGE)
        for left in range(0, width - EDGE + 1, EDGE)
    ]
    return [kind for part in parts for kind in (part, 1 - part, ((part - part.mean()) * CONTRAST + 0.5).clamp(0, 1))]
