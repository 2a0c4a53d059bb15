"""Makes operations that torch records, compiles and exports out of the two passes of a backend.

Both scans have :data:`LEAVES` tensors with a gradient, which come first among their arguments; then come other tensors,
then what is no tensor. All that is done here rests on that order.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Final, NamedTuple, TypeVar, get_type_hints

import torch
from torch import Tensor

from . import paths as scan_paths
from .paths import STRIDED, Paths

LEAVES: Final = 7


class ImageScan(NamedTuple):
    """Arguments of :func:`mambair_kernels.scan_2d`: paths as ``positions``, or else as their strides ``orders``."""

    x: Tensor
    x_proj: Tensor
    dt_proj: Tensor
    dt_bias: Tensor
    A_log: Tensor
    D: Tensor
    c_bias: Tensor | None
    positions: Tensor | None
    orders: Sequence[int]

    @property
    def paths(self) -> Paths:
        """The paths as they were given."""
        return tuple(STRIDED[bits] for bits in self.orders) if self.positions is None else self.positions


class SequenceScan(NamedTuple):
    """Arguments of :func:`mambair_kernels.selective_scan`."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool


Bundle = TypeVar("Bundle", ImageScan, SequenceScan)
Gradients = tuple[Tensor | None, ...]
"""Gradients of the leaves; what stands for one that does not exist is not used."""

SCHEMA = {Tensor: "Tensor", Tensor | None: "Tensor?", Sequence[int]: "SymInt[]", bool: "bool"}


def takes_image(function: Callable[[ImageScan], Tensor]) -> Callable[..., Tensor]:
    """A backend's ``scan_2d`` with the arguments of :func:`mambair_kernels.scan_2d`."""

    @wraps(function)
    def scan_2d(
        x: Tensor,
        x_proj: Tensor,
        dt_proj: Tensor,
        dt_bias: Tensor,
        A_log: Tensor,
        D: Tensor,
        paths: Paths,
        c_bias: Tensor | None,
    ) -> Tensor:
        positions, orders = _as_positions_or_orders(paths, x)
        return function(ImageScan(x, x_proj, dt_proj, dt_bias, A_log, D, c_bias, positions, orders))

    return scan_2d


def _as_positions_or_orders(paths: Paths, x: Tensor) -> tuple[Tensor | None, list[int]]:
    if isinstance(paths, Tensor):
        return paths, []
    orders = scan_paths.codes(paths)
    if orders is not None:
        return None, orders
    return scan_paths.table(paths, x.shape[1], x.shape[2], x.device).expand(len(x), -1, -1), []


def takes_sequences(function: Callable[[SequenceScan], Tensor]) -> Callable[..., Tensor]:
    """A backend's ``selective_scan`` with the arguments of :func:`mambair_kernels.selective_scan`."""

    @wraps(function)
    def selective_scan(
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        delta_bias: Tensor | None,
        delta_softplus: bool,
    ) -> Tensor:
        return function(SequenceScan(u, delta, A, B, C, D, delta_bias, delta_softplus))

    return selective_scan


def single(*tensors: Tensor | None) -> list[Any]:
    """The tensors in float32; None stays None."""
    return [None if tensor is None else tensor.float() for tensor in tensors]


def dense(*tensors: Tensor | None) -> list[Any]:
    """The tensors without gaps; None stays None."""
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def choose_call(operation: Callable[..., Any], function: Callable[..., Any], x: Tensor) -> Callable[..., Any]:
    """The function itself where torch need not know of it, else the operation that torch sees.

    Without gradients, compiler and tensor subclasses there is nothing to record, and a small network spends a
    twentieth of its time on the way through torch's dispatcher.
    """
    plain = type(x) is Tensor and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return function if plain else operation


def define(
    name: str,
    bundle: type[Bundle],
    forward: Callable[[Bundle], Tensor],
    backward: Callable[[Tensor, Bundle], Gradients],
    devices: str | None = None,
) -> Callable[[Bundle], Tensor]:
    """The operation ``mambair::name``, differentiable through ``mambair::name_backward``.

    ``backward`` takes the gradient of the output, then the arguments.
    """
    operation = torch.library.custom_op(
        f"mambair::{name}",
        lambda *inputs: forward(bundle(*inputs)),
        mutates_args=(),
        device_types=devices,
        schema=f"({_parameters(bundle)}) -> Tensor",
    )
    operation.register_fake(_output)
    gradients = _define_backward(name, bundle, backward, devices, "")
    _register(operation, gradients, bundle)
    return lambda inputs: operation(*inputs)


def define_keeping(
    name: str,
    bundle: type[Bundle],
    forward: Callable[[Bundle, bool], tuple[Tensor, Tensor]],
    backward: Callable[[Tensor, Bundle, Tensor], Gradients],
    kept: Callable[[Bundle, bool], Tensor],
) -> Callable[[Bundle], Tensor]:
    """As :func:`define`, for a backend whose forward pass leaves something to its backward pass.

    ``forward`` is told whether there may be a backward pass at all. ``kept`` gives a tensor that is like what it
    leaves, for compilers; ``backward`` takes that last.
    """
    operation = torch.library.custom_op(
        f"mambair::{name}",
        lambda *inputs: forward(bundle(*inputs[:-1]), inputs[-1]),
        mutates_args=(),
        schema=f"({_parameters(bundle)}, bool keep) -> (Tensor, Tensor)",
    )
    operation.register_fake(lambda *inputs: (_output(*inputs), kept(bundle(*inputs[:-1]), inputs[-1])))
    gradients = _define_backward(name, bundle, backward, None, ", Tensor kept")
    _register(operation, gradients, bundle)
    return lambda inputs: operation(*inputs, torch.is_grad_enabled())[0]


def _parameters(bundle: type[ImageScan] | type[SequenceScan]) -> str:
    return ", ".join(f"{SCHEMA[hint]} {name}" for name, hint in get_type_hints(bundle).items())


def _output(like: Tensor, *_: Any) -> Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device=like.device)


def _define_backward(
    name: str, bundle: type[Bundle], backward: Callable[..., Gradients], devices: str | None, kept: str
) -> Callable[..., Any]:
    size = len(bundle._fields)

    def run(grad_out: Tensor, *inputs: Any) -> list[Tensor]:
        found = backward(grad_out, bundle(*inputs[:size]), *inputs[size:])
        # An operation has to return a tensor in place of a gradient that does not exist.
        return [
            grad_out.new_empty(0) if leaf is None or grad is None else grad
            for leaf, grad in zip(inputs[:LEAVES], found, strict=True)
        ]

    def fake(grad_out: Tensor, *inputs: Any) -> list[Tensor]:
        return [grad_out.new_empty(0) if leaf is None else _output(leaf) for leaf in inputs[:LEAVES]]

    results = ", ".join(["Tensor"] * LEAVES)
    operation = torch.library.custom_op(
        f"mambair::{name}_backward",
        run,
        mutates_args=(),
        device_types=devices,
        schema=f"(Tensor grad_out, {_parameters(bundle)}{kept}) -> ({results})",
    )
    operation.register_fake(fake)
    return operation


def _register(operation: Any, gradients: Callable[..., Any], bundle: type[Bundle]) -> None:
    """Lets gradients flow through ``operation``; what it returns beyond the output is kept for them."""
    size = len(bundle._fields)
    tensors = sum("Tensor" in SCHEMA[hint] for hint in get_type_hints(bundle).values())

    def save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        kept = () if isinstance(output, Tensor) else output[1:]
        ctx.mark_non_differentiable(*kept)
        ctx.save_for_backward(*inputs[:tensors], *kept)
        ctx.constants = inputs[tensors:size]
        ctx.unused = (None,) * (len(inputs) - LEAVES)

    def differentiate(ctx: Any, grad_out: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        found = gradients(grad_out, *saved[:tensors], *ctx.constants, *saved[tensors:])
        leaves: Iterable[tuple[Tensor | None, Tensor]] = zip(saved[:LEAVES], found, strict=True)
        return *(None if leaf is None else grad for leaf, grad in leaves), *ctx.unused

    operation.register_autograd(differentiate, setup_context=save)
