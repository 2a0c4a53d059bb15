"""Models as files of ONNX, compared with our own networks before they are written."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ModelError, UsageError
from ..files.outputs import check_new, publish, reserved
from ..weights.loader import load as load_model
from ..weights.model import Model
from . import session
from .extra import load
from .onnx_model import KEY, SUFFIX, about

SIZES = ((19, 45), (33, 32), (8, 61))
"""Heights and widths at which a file is compared; none was traced."""

TOLERANCE = 1e-4
"""Largest difference of a value in [0, 1] in float32."""

HALF_TOLERANCE = 2e-2
"""Largest difference where weights and activations have 16 bits: five levels of 255."""


@dataclass(frozen=True)
class Exported:
    """What was written: bytes, and how far it is from our own network at each of :data:`SIZES`.

    ``differences`` are the largest, ``psnr`` is that of all values together, in dB.
    """

    bytes: int
    differences: tuple[float, ...]
    psnr: float


class Half(nn.Module):
    """A network with weights and activations of 16 bits but for its scans; pictures keep 32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, image: Tensor) -> Tensor:
        """As the network."""
        out: Tensor = self.network(image.half()).float()
        return out


def export(source: str, target: Path, *, half: bool = False, overwrite: bool = False) -> Exported:
    """Write a model as ONNX, once onnxruntime gave the same as our own network.

    Args:
        source: a file or a name of the catalogue.
        target: the new file.
        half: weights and activations of 16 bits.
        overwrite: replace ``target``.

    Raises:
        MambairError: the extra is not installed.
        ModelError: the source cannot be read, its network cannot be traced, or the file gives something else.
        UsageError: ``target`` does not end in .onnx.
        OutputError: ``target`` exists or cannot be written.
    """
    if target.suffix.lower() != SUFFIX:
        raise UsageError(f"{target} does not end in {SUFFIX}.", "Give it that ending.")
    if not overwrite:
        check_new(target)
    load("onnx", "onnxruntime")
    model = load_model(source, "cpu")
    content = serialised(model, half)
    differences, psnr = compared(content, model, HALF_TOLERANCE if half else TOLERANCE)
    with reserved(target) as temporary:
        publish(temporary, target, content, overwrite)
    return Exported(len(content), differences, psnr)


def serialised(model: Model, half: bool = False) -> bytes:
    """The file for a model, not yet compared with it.

    Raises:
        ModelError: the network cannot be traced.
    """
    onnx, onnx_ir = load("onnx", "onnx"), load("onnx", "onnx_ir")
    load("onnx", "onnxscript")
    from .trace import trace

    if model.descriptor.global_view:
        raise ModelError(
            f"{model.name} looks at a picture twice, once as a whole, which a file of ONNX does not offer yet.",
            "Use it as it is.",
        )
    try:
        graph = trace(Half(model.network) if half else model.network, model.descriptor.in_channels)
    except Exception as error:  # torch raises whatever its part of the work raised
        first = (str(error).strip().splitlines() or ["no details"])[0].rstrip(".")
        raise ModelError(
            f"The network of {model.name} ({model.architecture}) cannot be exported: {first}.",
            "Export one of MambaIR, MambaIRv2 or MambaIRNano.",
        ) from error
    graph.producer_name = KEY
    graph.metadata_props[KEY] = about(model)
    written = onnx_ir.to_proto(graph)
    onnx.checker.check_model(written)
    content: bytes = written.SerializeToString()
    return content


def compared(content: bytes, model: Model, tolerance: float) -> tuple[tuple[float, ...], float]:
    """Largest difference at each of :data:`SIZES`, and the PSNR of all values.

    Raises:
        ModelError: one is above ``tolerance``.
    """
    ready = session.session(content)
    generator = torch.Generator().manual_seed(0)
    found, squares, values = [], 0.0, 0
    for height, width in SIZES:
        image = torch.rand(1, model.descriptor.in_channels, height, width, generator=generator)
        with torch.inference_mode():
            wanted = model.network(image)
        (got,) = session.run(ready, image=image)
        same = got.shape == tuple(wanted.shape)
        error = torch.from_numpy(got) - wanted if same else torch.tensor(float("inf"))
        found.append(float(error.abs().max()))
        squares, values = squares + float(error.square().sum()), values + wanted.numel()
        if not found[-1] <= tolerance:  # not a number is no agreement either
            raise ModelError(
                f"onnxruntime's result for {model.name} at {height} x {width} differs by {found[-1]:.2g} from ours.",
                "Nothing was written; report this, or use the model as it is.",
            )
    return tuple(found), 10 * math.log10(values / squares) if squares else math.inf
