"""Models as files of ONNX, compared with our own networks before they are written."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mambair_archs.network import GlobalView, Place

from ..errors import ModelError, UsageError
from ..files.outputs import check_new, publish, reserved
from ..weights.loader import load as load_model
from ..weights.model import Model
from . import session
from .extra import load
from .onnx_model import KEY, SUFFIX, about, network
from .parts import LOOK, beside, parts

SIZES = ((19, 45), (33, 32), (8, 61))
"""Heights and widths at which a file is compared; none was traced."""

TOLERANCE = 1e-4
"""Largest difference of a value in [0, 1] in float32."""

HALF_TOLERANCE = 2e-2
"""Largest difference where weights and activations have 16 bits: five levels of 255."""


@dataclass(frozen=True)
class Exported:
    """What was written, how many bytes together, and how far it is from our own network at each of :data:`SIZES`.

    ``differences`` are the largest, ``psnr`` is that of all values together, in dB.
    """

    paths: list[Path]
    bytes: int
    differences: tuple[float, ...]
    psnr: float


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
        for mark in (LOOK, ""):
            check_new(beside(target, mark))
    load("onnx", "onnxruntime")
    model = load_model(source, "cpu")
    contents = serialised(model, half)
    differences, psnr = compared(list(contents.values()), model, HALF_TOLERANCE if half else TOLERANCE)
    for mark, content in contents.items():
        path = beside(target, mark)
        with reserved(path) as temporary:
            publish(temporary, path, content, overwrite)
    return Exported([beside(target, mark) for mark in contents], sum(map(len, contents.values())), differences, psnr)


def serialised(model: Model, half: bool = False) -> dict[str, bytes]:
    """The files for a model by what marks their names (see :func:`.parts.parts`), not yet compared with it.

    Raises:
        ModelError: the network cannot be traced.
    """
    onnx, onnx_ir = load("onnx", "onnx"), load("onnx", "onnx_ir")
    load("onnx", "onnxscript")
    from .trace import trace

    contents = {}
    for part in parts(model, half):
        try:
            graph = trace(part.module, part.given, part.output)
        except Exception as error:  # torch raises whatever its part of the work raised
            first = (str(error).strip().splitlines() or ["no details"])[0].rstrip(".")
            raise ModelError(
                f"The network of {model.name} ({model.architecture}) cannot be exported: {first}.",
                "Export one of the networks in docs/export.md.",
            ) from error
        graph.producer_name = KEY
        graph.metadata_props[KEY] = about(model)
        written = onnx_ir.to_proto(graph)
        onnx.checker.check_model(written)
        contents[part.mark] = written.SerializeToString()
    return contents


def compared(contents: list[bytes], model: Model, tolerance: float) -> tuple[tuple[float, ...], float]:
    """Largest difference at each of :data:`SIZES`, and the PSNR of all values.

    Raises:
        ModelError: one is above ``tolerance``.
    """
    candidate = network([session.session(content) for content in contents], model.descriptor.global_view)
    generator = torch.Generator().manual_seed(0)
    found, squares, values = [], 0.0, 0
    for height, width in SIZES:
        image = torch.rand(1, model.descriptor.in_channels, height, width, generator=generator)
        with torch.inference_mode():
            wanted, got = _restored(model.network, image), _restored(candidate, image)
        same = got.shape == wanted.shape
        error = got - wanted if same else torch.tensor(float("inf"))
        found.append(float(error.abs().max()))
        squares, values = squares + float(error.square().sum()), values + wanted.numel()
        if not found[-1] <= tolerance:  # not a number is no agreement either
            raise ModelError(
                f"onnxruntime's result for {model.name} at {height} x {width} differs by {found[-1]:.2g} from ours.",
                "Nothing was written; report this, or use the model as it is.",
            )
    return tuple(found), 10 * math.log10(values / squares) if squares else math.inf


def _restored(network: nn.Module, image: Tensor) -> Tensor:
    """A picture, or a region of it that does not begin at its corner where the network has seen it as a whole."""
    if isinstance(network, GlobalView):
        height, width = image.shape[2:]
        top, left = height // 3, width // 4
        return network.apply_view(image[..., top:, left:], network.look(image), Place(top, left, height, width))
    out: Tensor = network(image)
    return out
