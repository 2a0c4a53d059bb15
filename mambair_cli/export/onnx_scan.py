"""The selective scans in standard operators of ONNX.

``Scan`` carries the state from one chunk of :data:`CHUNK` steps to the next. A chunk of all paths is gathered and
projected as a whole; inside it the recurrence is written out, one multiplication and addition per step over all
sequences, states and channels, as in :mod:`mambair_kernels.chunked`. So the graph does not grow with the picture, and
no tensor is larger than the outputs of all paths.
"""

from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from .onnx_nodes import Nodes

CHUNK = 16
"""Steps. Fewer mean more turns of the loop, more a longer graph; recursive doubling in place of the written-out steps
took two to four times as long in onnxruntime on a processor (docs/decisions.md)."""

COLUMNS, REVERSED = 1, 2
"""Bits of a strided path, see :class:`mambair_kernels.paths.Path`."""


def scan_2d(node: ir.Node) -> tuple[list[ir.Node], ir.Value]:
    """Nodes in place of one that stands for :func:`mambair_kernels.scan_2d`, and their result.

    Its inputs are the tensors of :class:`mambair_kernels.operations.ImageScan`; its attribute ``orders`` are the paths
    where none are given as ``positions``. All are float32.
    """
    x, x_proj, dt_proj, dt_bias, A_log, D, c_bias, positions = _inputs(node, 8)
    nodes = Nodes()
    paths, channels, rank = _sizes(dt_proj)
    states = _sizes(A_log)[1]
    batch, height, width = (nodes.size(x, axis) for axis in range(3))
    length = nodes.Mul(height, width)
    if positions is None:
        orders = list(node.attributes["orders"].as_ints())
        positions = nodes.Expand(
            _stack(nodes, [_order(nodes, bits, height, width, length) for bits in orders]),
            nodes.shape(batch, len(orders), length),
        )
        steps = _stack(nodes, [_inverse(nodes, bits, height, width, length) for bits in orders])
    else:
        counted = nodes.Expand(nodes.count(length), nodes.Shape(positions))
        steps = nodes.ScatterElements(positions, positions, counted, axis=2)
    images = nodes.count(batch)
    # (paths, length, batch): where every step of every path lies among the pixels of all images.
    places = nodes.Add(nodes.Transpose(positions, perm=[1, 2, 0]), nodes.Mul(images, length))
    flat = nodes.Reshape(x, nodes.integers(-1, channels))
    chunks = _Chunks(nodes, length)

    A = nodes.wide(nodes.Neg(nodes.Exp(nodes.Reshape(A_log, nodes.integers(paths, channels, states)))), 1, 2)
    A = nodes.Transpose(A, perm=[0, 1, 2, 4, 3])  # (paths, 1, 1, states, channels)
    to_low, to_B, to_C = nodes.split(nodes.Transpose(x_proj, perm=[0, 2, 1]), (rank, states, states), 2)
    to_steps, bias = nodes.Transpose(dt_proj, perm=[0, 2, 1]), nodes.wide(dt_bias, 1)

    def load(body: Nodes, rows: Any, prompt: Any = None) -> tuple[Any, Any, Any, Any]:
        """Inputs u and steps dt (paths, CHUNK, batch, channels), B and C (paths, CHUNK, batch, states) of ``rows``."""
        u = body.Gather(flat, body.Reshape(rows, body.integers(paths, -1)), axis=0)
        dt = body.Softplus(body.Add(body.MatMul(body.MatMul(u, to_low), to_steps), bias))
        apart = body.shape(paths, CHUNK, -1)
        of_channels, of_states = (body.Concat(apart, body.integers(size), axis=0) for size in (channels, states))
        B, C = (body.Reshape(body.MatMul(u, each), of_states) for each in (to_B, to_C))
        if prompt is not None:
            C = body.Add(C, prompt)
        return body.Reshape(u, of_channels), body.Reshape(dt, of_channels), B, C

    given = [chunks.of(places, axis=1, rank=3)]
    if c_bias is not None:
        by_step = nodes.wide(nodes.Transpose(c_bias, perm=[1, 0, 2]), 0)  # (1, length, batch, states)
        given.append(chunks.of(by_step, axis=1, rank=4))
    h = nodes.Expand(nodes.Constant(value_float=0.0), nodes.shape(paths, 1, batch, states, channels))
    y = _loop(nodes, h, given, A, load)  # (chunks, paths, CHUNK, batch, channels)

    found = nodes.Reshape(y, nodes.integers(-1, channels))
    total = nodes.Mul(flat, nodes.ReduceSum(nodes.Reshape(D, nodes.integers(paths, channels)), nodes.integers(0)))
    for path in range(paths):
        step = nodes.Gather(steps, nodes.integer(path), axis=1)  # (batch or 1, length)
        first = nodes.Add(nodes.Mul(nodes.Div(step, chunks.size), nodes.integer(paths)), nodes.integer(path))
        row = nodes.Add(nodes.Mul(first, chunks.size), nodes.Mod(step, chunks.size))
        row = nodes.Add(nodes.Mul(row, batch), nodes.wide(images, 1))
        total = nodes.Add(total, nodes.Gather(found, nodes.Reshape(row, nodes.integers(-1)), axis=0))
    result = nodes.Reshape(total, nodes.Shape(x))
    return list(nodes.tape.nodes), result


def selective_scan(node: ir.Node) -> tuple[list[ir.Node], ir.Value]:
    """Nodes in place of one that stands for :func:`mambair_kernels.selective_scan`, and their result.

    Its inputs are the tensors of :class:`mambair_kernels.operations.SequenceScan`, all float32; its attribute
    ``delta_softplus`` is 0 or 1.
    """
    u, delta, A, B, C, D, delta_bias = _inputs(node, 7)
    nodes = Nodes()
    groups = int(B.shape[1])
    channels, states = _sizes(A)
    softplus = bool(node.attributes["delta_softplus"].as_int())
    batch, length = nodes.size(u, 0), nodes.size(u, 2)
    chunks = _Chunks(nodes, length)

    def by_step(value: Any) -> Any:
        """(batch, groups * channels, length) as (groups, length, batch, channels), in chunks."""
        apart = nodes.Reshape(value, nodes.shape(batch, groups, channels // groups, length))
        return chunks.of(nodes.Transpose(apart, perm=[1, 3, 0, 2]), axis=1, rank=4)

    def by_states(value: Any) -> Any:
        return chunks.of(nodes.Transpose(value, perm=[1, 3, 0, 2]), axis=1, rank=4)

    def load(body: Nodes, u: Any, dt: Any, B: Any, C: Any) -> tuple[Any, Any, Any, Any]:
        return u, body.Softplus(dt) if softplus else dt, B, C

    steps = delta if delta_bias is None else nodes.Add(delta, nodes.wide(delta_bias, 1))
    given = [by_step(u), by_step(steps), by_states(B), by_states(C)]
    A = nodes.Transpose(
        nodes.Reshape(A, nodes.integers(groups, 1, 1, channels // groups, states)), perm=[0, 1, 2, 4, 3]
    )
    h = nodes.Expand(nodes.Constant(value_float=0.0), nodes.shape(groups, 1, batch, states, channels // groups))
    y = _loop(nodes, h, given, A, load)  # (chunks, groups, CHUNK, batch, channels)
    y = nodes.Reshape(nodes.Transpose(y, perm=[3, 1, 4, 0, 2]), nodes.shape(batch, channels, -1))
    y = nodes.Slice(y, nodes.integers(0), nodes.wide(length, 0), nodes.integers(2))
    result = y if D is None else nodes.Add(y, nodes.Mul(u, nodes.wide(D, 1)))
    return list(nodes.tape.nodes), result


class _Chunks:
    """Cuts something of ``length`` steps into chunks; zeros fill up the last."""

    def __init__(self, nodes: Nodes, length: Any) -> None:
        self.nodes, self.size = nodes, nodes.integer(CHUNK)
        self.missing = nodes.Mod(nodes.Neg(length), self.size)

    def of(self, value: Any, axis: int, rank: int) -> Any:
        """``value`` with chunks along the first axis, and ``CHUNK`` steps at ``axis`` of each."""
        nodes = self.nodes
        added = nodes.shape(*[0] * (rank + axis), self.missing, *[0] * (rank - axis - 1))
        shape = nodes.Shape(value)
        before, after = (
            nodes.Slice(shape, nodes.integers(a), nodes.integers(b)) for a, b in ((0, axis), (axis + 1, rank))
        )
        apart = nodes.Concat(before, nodes.integers(-1, CHUNK), after, axis=0)
        cut = nodes.Reshape(nodes.Pad(value, added), apart)
        return nodes.Transpose(cut, perm=[axis, *range(axis), *range(axis + 1, rank + 1)])


Load = Callable[..., tuple[Any, Any, Any, Any]]
"""u, dt, B and C of a chunk, of the parts of what the loop is given."""


def _loop(nodes: Nodes, h: Any, given: list[Any], A: Any, load: Load) -> Any:
    """Outputs of all chunks (chunks, sequences, CHUNK, batch, channels), without the skip connection."""
    body = Nodes()
    before, *parts = (ir.Value(type=ir.TensorType(ir.DataType.FLOAT)) for _ in range(len(given) + 1))
    for part, value in zip(parts, given, strict=True):
        part.type = value.type
    u, dt, B, C = load(body, *parts)
    decay = body.Exp(body.Mul(body.wide(dt, 3), A))
    inputs = body.Mul(body.wide(body.Mul(dt, u), 3), body.wide(B, 4))
    each = (1,) * CHUNK
    states, state = [], before
    for factor, value in zip(body.split(decay, each, 1), body.split(inputs, each, 1), strict=True):
        state = body.Add(body.Mul(factor, state), value)
        states.append(state)
    y = body.Squeeze(body.MatMul(body.wide(C, 3), body.Concat(*states, axis=1)), body.integers(3))
    graph = ir.Graph([before, *parts], [state, y], nodes=body.tape.nodes, name="chunk")
    return nodes.Scan(h, *given, body=graph, num_scan_inputs=len(given), outputs=2)[1]


def _inputs(node: ir.Node, number: int) -> list[Any]:
    """All inputs, None for those left out."""
    return [node.inputs[k] if k < len(node.inputs) else None for k in range(number)]


def _sizes(value: ir.Value | None) -> tuple[int, ...]:
    assert value is not None
    assert value.shape is not None
    return tuple(int(size) for size in value.shape.numpy())


def _stack(nodes: Nodes, vectors: list[Any]) -> Any:
    """(1, vectors, length)."""
    return nodes.Concat(*(nodes.wide(vector, 0, 1) for vector in vectors), axis=1)


def _order(nodes: Nodes, bits: int, height: Any, width: Any, length: Any) -> Any:
    """Raster position of every step."""
    steps = nodes.count(length)
    if bits & REVERSED:
        steps = nodes.Sub(nodes.Sub(length, nodes.integer(1)), steps)
    return _transposed(nodes, steps, height, width) if bits & COLUMNS else steps


def _inverse(nodes: Nodes, bits: int, height: Any, width: Any, length: Any) -> Any:
    """Step of every raster position."""
    steps = nodes.count(length)
    if bits & COLUMNS:
        steps = _transposed(nodes, steps, width, height)
    return nodes.Sub(nodes.Sub(length, nodes.integer(1)), steps) if bits & REVERSED else steps


def _transposed(nodes: Nodes, steps: Any, height: Any, width: Any) -> Any:
    """Raster position of step ``column * height + row``."""
    return nodes.Add(nodes.Mul(nodes.Mod(steps, height), width), nodes.Div(steps, height))
