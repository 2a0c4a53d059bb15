"""Models as files of ONNX, compared with our own networks before they are written."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import ModelError, UsageError
from ..images.files import check_new, publish, reserved
from ..weights.loader import Model
from ..weights.loader import load as load_model
from . import session
from .extra import load
from .onnx_model import KEY, SUFFIX, about

SIZES = ((19, 45), (33, 32), (8, 61))
"""Heights and widths at which a file is compared; none was traced."""

TOLERANCE = 1e-4
"""Largest difference of a value in [0, 1] in float32."""


@dataclass(frozen=True)
class Exported:
    """What was written: bytes, and the largest difference from our own network for each of :data:`SIZES`."""

    bytes: int
    differences: tuple[float, ...]


def export(source: str, target: Path, *, overwrite: bool = False) -> Exported:
    """Write a model as ONNX, once onnxruntime gave the same as our own network.

    Args:
        source: a file or a name of the catalogue.
        target: the new file.
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
    content = serialised(model)
    differences = compared(content, model)
    with reserved(target) as temporary:
        publish(temporary, target, content, overwrite)
    return Exported(len(content), differences)


def serialised(model: Model) -> bytes:
    """The file for a model, not yet compared with it.

    Raises:
        ModelError: the network cannot be traced.
    """
    onnx, onnx_ir = load("onnx", "onnx"), load("onnx", "onnx_ir")
    load("onnx", "onnxscript")
    from .trace import trace

    try:
        graph = trace(model.network, model.descriptor.in_channels)
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


def compared(content: bytes, model: Model) -> tuple[float, ...]:
    """Largest difference at each of :data:`SIZES`.

    Raises:
        ModelError: one is above :data:`TOLERANCE`.
    """
    ready = session.session(content)
    generator = torch.Generator().manual_seed(0)
    found = []
    for height, width in SIZES:
        image = torch.rand(1, model.descriptor.in_channels, height, width, generator=generator)
        with torch.inference_mode():
            wanted = model.network(image)
        (got,) = session.run(ready, image=image)
        same = got.shape == tuple(wanted.shape)
        found.append(float((torch.from_numpy(got) - wanted).abs().max()) if same else float("inf"))
        if not found[-1] <= TOLERANCE:  # not a number is no agreement either
            raise ModelError(
                f"onnxruntime's result for {model.name} at {height} x {width} differs by {found[-1]:.2g} from ours.",
                "Nothing was written; report this, or use the model as it is.",
            )
    return tuple(found)
