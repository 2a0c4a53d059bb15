"""A network as a graph of ONNX's standard operators that takes pictures of any size."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from mambair_kernels.dispatch import VARIABLE

from . import onnx_scan

OPSET = 20
DOMAIN = "mambair"
"""Of the nodes that stand for a scan until they are replaced."""

TRACED = (24, 32)
"""Height and width of the picture that is traced."""

OPERATORS = {"scan_2d": onnx_scan.scan_2d, "selective_scan": onnx_scan.selective_scan}


def trace(network: nn.Module, channels: int) -> ir.Model:
    """Graph of a network on the processor: ``image`` (1, channels, height, width) to ``restored``.

    Raises:
        RuntimeError: torch cannot trace it, or knows no operators for a part of it.
    """
    picture = torch.rand(1, channels, *TRACED)
    # Whether a tensor of few windows is a view is decided by guards on sizes, which changes no result.
    sizes = dict.fromkeys((2, 3), torch.export.Dim.DYNAMIC)
    with _plain_torch(), _quiet(), torch.no_grad():
        exported = torch.export.export(network.eval(), (picture,), dynamic_shapes=(sizes,))
        exported = exported.run_decompositions(
            {
                torch.ops.mambair.chunked_scan_2d.default: _scan_2d,
                torch.ops.mambair.chunked_selective_scan.default: _selective_scan,
                torch.ops.aten.remainder.Scalar: _remainder,
                torch.ops.aten.argsort.stable: _argsort,
            }
        )
        program = torch.onnx.export(
            exported, opset_version=OPSET, input_names=["image"], output_names=["restored"], verbose=False
        )
    assert program is not None
    model: ir.Model = program.model
    for node in list(model.graph):
        if node.domain == DOMAIN:
            nodes, result = OPERATORS[node.op_type](node)
            ir.convenience.replace_nodes_and_values(model.graph, node, [node], nodes, [node.outputs[0]], [result])
    model.opset_imports.pop(DOMAIN, None)
    model.graph.inputs[0].shape = ir.Shape([1, channels, "height", "width"])
    return model


def _scan_2d(*given: Any) -> tuple[Tensor, Tensor]:
    *tensors, orders, _ = given
    return _stand_in("scan_2d", tensors, {"orders": list(orders)} if orders else {})


def _selective_scan(*given: Any) -> tuple[Tensor, Tensor]:
    *tensors, softplus, _ = given
    return _stand_in("selective_scan", tensors, {"delta_softplus": int(softplus)})


def _remainder(x: Tensor, divisor: Any) -> Tensor:
    """As a tensor the divisor may be a size that is not known, for which torch's exporter has no other form."""
    return torch.remainder(x, torch.full((), divisor, dtype=x.dtype))


def _argsort(x: Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> Tensor:
    """Stable order of integers by ONNX's TopK, whatever a provider does with equal values: there are none."""
    if x.is_floating_point() or descending:
        raise NotImplementedError("only integers are sorted, in rising order")
    length = x.shape[dim]
    shape = [length if axis == dim % x.dim() else 1 for axis in range(x.dim())]
    keys = x * length + torch.arange(length).reshape(shape)
    order: Tensor = torch.onnx.ops.symbolic_multi_out(
        "TopK",
        [keys, torch.full((1,), length)],
        {"axis": dim, "largest": 0, "sorted": 1},
        dtypes=[torch.int64, torch.int64],
        shapes=[x.shape, x.shape],
        version=OPSET,
    )[1]
    return order


def _stand_in(name: str, tensors: list[Tensor | None], attributes: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The scan in float32, and nothing kept for gradients."""
    like = tensors[0]
    assert like is not None
    single = [each.float() if each is not None and each.is_floating_point() else each for each in tensors]
    y = torch.onnx.ops.symbolic(
        f"{DOMAIN}::{name}", single, attributes, dtype=torch.float32, shape=like.shape, version=1
    )
    return y.to(like.dtype), y.new_empty(0)


@contextmanager
def _plain_torch() -> Iterator[None]:
    """Layers take their torch form, and scans stay one operation each."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "chunked"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's notes on its own parts."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
