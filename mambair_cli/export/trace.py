"""A network as a graph of ONNX's standard operators that takes pictures of any size."""

import copy
import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass, InlinePass
from torch import Tensor, nn

from mambair_kernels.dispatch import VARIABLE

from . import onnx_scan
from .blocks import BLOCK, DOMAIN, Kind, Mark, changing, kinds, replace, tensors

OPSET = 20
OPERATORS = {"scan_2d": onnx_scan.scan_2d, "selective_scan": onnx_scan.selective_scan}

EDGES = {2: "height", 3: "width"}
"""Names of axes."""


def trace(module: nn.Module, given: Mapping[str, tuple[Tensor, Tensor]], output: str) -> ir.Model:
    """Graph of a module on the processor.

    Args:
        module: takes tensors in order, and gives one.
        given: names of the inputs, and for each what it may be in two cases; an axis on which these differ takes any
            size.
        output: its name.

    Raises:
        RuntimeError: torch cannot trace it, or knows no operators for a part of it.
    """
    module = copy.deepcopy(module).eval()
    first, second = zip(*given.values(), strict=True)
    with _plain_torch(), _quiet(), torch.no_grad():
        found = kinds(module, first, second)
        functions: dict[str, ir.Function] = {}
        for number, kind in enumerate(found):
            functions |= dict.fromkeys(kind.blocks, _function(f"{BLOCK}_{number}", kind))
        named = {name: block for kind in found for name, block in kind.blocks.items()}
        for number, name in enumerate(named):
            replace(module, name, Mark(number))
        axes = [changing(*pair) for pair in given.values()]
        program = _program(module, first, axes, input_names=list(given), output_names=[output])
        program.optimize()
    model: ir.Model = program.model
    shared: dict[int, ir.Value] = {}
    for node in [node for node in model.graph if (node.domain, node.op_type) == (DOMAIN, BLOCK)]:
        name = list(named)[node.attributes["number"].as_int()]
        _call(model, node, functions[name], name, named[name], shared)
    InlinePass()(model)
    for node in list(model.graph):
        if node.domain == DOMAIN:
            nodes, result = OPERATORS[node.op_type](node)
            ir.convenience.replace_nodes_and_values(model.graph, node, [node], nodes, [node.outputs[0]], [result])
    ClearMetadataAndDocStringPass()(model)  # of where in the code a node comes from
    model.opset_imports.pop(DOMAIN, None)
    for value, tensor, free in zip(model.graph.inputs, first, axes, strict=True):
        prefix = "" if value is model.graph.inputs[0] else f"{value.name}_"
        sizes = [f"{prefix}{EDGES[axis]}" if axis in free else size for axis, size in enumerate(tensor.shape)]
        value.shape = ir.Shape(sizes)
    return model


def _program(module: nn.Module, given: tuple[Tensor, ...], axes: Iterable[Iterable[int]], **names: Any) -> Any:
    """What torch makes of a module, for any size along ``axes`` of its inputs; scans are one node each."""
    # Whether a tensor of few windows is a view is decided by guards on sizes, which changes no result.
    sizes = tuple(dict.fromkeys(free, torch.export.Dim.DYNAMIC) for free in axes)
    exported = torch.export.export(module, given, dynamic_shapes=sizes)
    exported = exported.run_decompositions(
        {
            torch.ops.mambair.chunked_scan_2d.default: _scan_2d,
            torch.ops.mambair.chunked_selective_scan.default: _selective_scan,
            torch.ops.aten.remainder.Scalar: _remainder,
            torch.ops.aten.argsort.stable: _argsort,
        }
    )
    program = torch.onnx.export(exported, opset_version=OPSET, verbose=False, optimize=False, **names)
    assert program is not None
    return program


def _function(name: str, kind: Kind) -> ir.Function:
    """A kind of blocks as a function of its input and of its weights."""
    program = _program(next(iter(kind.blocks.values())), (kind.like,), (kind.axes,))
    _take(program.model.graph)
    program.optimize()
    _take(program.model.graph)  # constants that this made
    for node in program.model.graph:
        for value in node.outputs:
            # Sizes that are not known have names, which mean something else where the function is called.
            if value.shape is not None:
                value.shape = ir.Shape([size if isinstance(size, int) else None for size in value.shape])
    return ir.Function(DOMAIN, name, graph=program.model.graph, attributes=())


def _take(graph: ir.Graph) -> None:
    """Weights become inputs."""
    graph.inputs.extend(graph.initializers.values())
    graph.initializers.clear()


def _call(
    model: ir.Model, node: ir.Node, function: ir.Function, name: str, block: nn.Module, shared: dict[int, ir.Value]
) -> None:
    """Call a function with the weights of a block in place of the node that stands for it.

    ``shared`` are the weights so far, by the identity of their tensors.
    """
    own = tensors(block)
    values = []
    for weight in function.inputs[1:]:
        found, constant = own.get(weight.name or ""), weight.const_value  # of the code
        identity = id(constant if found is None else found)
        if identity not in shared:
            value = ir.Value(
                name=f"{name}.{weight.name}",
                shape=weight.shape,
                type=weight.type,
                const_value=constant if found is None else ir.tensor_adapters.TorchTensor(found),
            )
            model.graph.initializers.add(value)
            shared[identity] = value
        values.append(shared[identity])
    made = ir.Node(DOMAIN, function.name, [*node.inputs, *values], num_outputs=1, name=name)
    made.outputs[0].shape, made.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
    model.functions[function.identifier()] = function
    model.opset_imports[DOMAIN] = 1
    ir.convenience.replace_nodes_and_values(model.graph, node, [node], [made], node.outputs, made.outputs)


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
