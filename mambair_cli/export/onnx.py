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


INT8_LEAST = 30.0
"""PSNR in dB against our own network below which a file of 8 bits is not worth writing."""


@dataclass(frozen=True)
class Distance:
    """How far a file is from our own network: largest difference by height and width, PSNR of all values."""

    differences: dict[tuple[int, int], float]
    psnr: float


@dataclass(frozen=True)
class Exported:
    """What was written, how many bytes together, and how far it is from our own network.

    That is at each of :data:`SIZES`; for 8 bits, on parts of a photo that set no range of an activation.
    """

    paths: list[Path]
    bytes: int
    distance: Distance


def export(source: str, target: Path, *, half: bool = False, int8: bool = False, overwrite: bool = False) -> Exported:
    """Write a model as ONNX, once onnxruntime gave the same as our own network.

    Args:
        source: a file or a name of the catalogue.
        target: the new file.
        half: weights and activations of 16 bits.
        int8: convolutions and products of matrices in 8 bits.
        overwrite: replace ``target``.

    Raises:
        MambairError: the extra is not installed.
        ModelError: the source cannot be read, its network cannot be traced, or the file gives something else.
        UsageError: ``target`` does not end in .onnx, or two numbers of bits are asked for.
        OutputError: ``target`` exists or cannot be written.
    """
    if target.suffix.lower() != SUFFIX:
        raise UsageError(f"{target} does not end in {SUFFIX}.", "Give it that ending.")
    if half and int8:
        raise UsageError("--fp16 and --quantize exclude each other.", "Give one of them.")
    if not overwrite:
        for mark in (LOOK, ""):
            check_new(beside(target, mark))
    load("onnx", "onnxruntime")
    model = load_model(source, "cpu")
    contents = serialised(model, half)
    distance = compared(contents, model, HALF_TOLERANCE if half else TOLERANCE)
    if int8:
        contents, distance = quantised(contents, model)
    for mark, content in contents.items():
        path = beside(target, mark)
        with reserved(path) as temporary:
            publish(temporary, path, content, overwrite)
    return Exported([beside(target, mark) for mark in contents], sum(map(len, contents.values())), distance)


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


def quantised(contents: dict[str, bytes], model: Model) -> tuple[dict[str, bytes], Distance]:
    """The files in 8 bits, and how far they are from ours on parts of a photo other than those that set the ranges.

    Raises:
        ModelError: the network has two files, or is no longer what it was.
    """
    if model.descriptor.global_view:
        raise ModelError(
            f"{model.name} looks at pictures as a whole, which eight bits do not do.", "Use --fp16, or neither."
        )
    from . import quantise

    photos = quantise.sample(model.descriptor.in_channels)
    made = {"": quantise.int8(contents[""], photos[::2])}
    distance = _distance(made, model, photos[1::2], math.inf)
    if distance.psnr < INT8_LEAST:
        raise ModelError(
            f"In 8 bits {model.name} is {distance.psnr:.0f} dB from what it is in 32, which spoils pictures.",
            "Use --fp16, or neither.",
        )
    return made, distance


def compared(contents: dict[str, bytes], model: Model, tolerance: float) -> Distance:
    """How far the files of a model are from our own network at each of :data:`SIZES`.

    Raises:
        ModelError: a difference is above ``tolerance``.
    """
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(1, model.descriptor.in_channels, *size, generator=generator) for size in SIZES]
    if model.descriptor.global_view:  # for haze, without which the picture stays as it is
        images = [(image + 3) / 4 for image in images]
    return _distance(contents, model, images, tolerance)


def _distance(contents: dict[str, bytes], model: Model, images: list[Tensor], tolerance: float) -> Distance:
    candidate = network([session.session(content) for content in contents.values()], model.descriptor.global_view)
    found: dict[tuple[int, int], float] = {}
    squares, values = 0.0, 0
    for image in images:
        with torch.inference_mode():
            wanted, got = _restored(model.network, image), _restored(candidate, image)
        error = got - wanted if got.shape == wanted.shape else torch.tensor(float("inf"))
        height, width = image.shape[2:]
        largest = float(error.abs().max())
        if not largest <= tolerance:  # not a number is no agreement either
            raise ModelError(
                f"onnxruntime's result for {model.name} at {height} x {width} differs by {largest:.2g} from ours.",
                "Nothing was written; report this, or use the model as it is.",
            )
        found[height, width] = max(largest, found.get((height, width), 0.0))
        squares, values = squares + float(error.square().sum()), values + wanted.numel()
    return Distance(found, 10 * math.log10(values / squares) if squares else math.inf)


def _restored(network: nn.Module, image: Tensor) -> Tensor:
    """A picture, or a region of it that does not begin at its corner where the network has seen it as a whole."""
    if isinstance(network, GlobalView):
        height, width = image.shape[2:]
        top, left = height // 3, width // 4
        return network.apply_view(image[..., top:, left:], network.look(image), Place(top, left, height, width))
    out: Tensor = network(image)
    return out
