"""The native layers as torch operations: their declarations hold, and a compiler sees through whole networks."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mambair_archs import MambaIR
from mambair_kernels.constant import constant
from mambair_kernels.cpu import attention, depthwise, linear, native, residual

pytestmark = pytest.mark.skipif(not native.built(), reason="this installation has no native library")


def draw(*shape: int, grad: bool = True) -> Tensor:
    return torch.randn(*shape).requires_grad_(grad)


LINEAR = ((2, 5, 20), (20,), (20,), (2, 5, 20), (7, 20), (7,), (2, 5, 7), (7,))
CALLS: dict[str, tuple[Any, Any]] = {
    "linear": (linear.linear_op, lambda: (*(draw(*shape) for shape in LINEAR), 0, 1e-5)),
    "activated": (
        linear.linear_op,
        lambda: (*(draw(*shape) for shape in LINEAR[:3]), None, draw(7, 20), draw(7), None, None, 2, 1e-5),
    ),
    "plain": (linear.linear_op, lambda: (draw(3, 20), None, None, None, draw(7, 20), None, None, None, 0, 0.0)),
    "depthwise": (depthwise.depthwise_op, lambda: (draw(2, 4, 9, 20), draw(20, 1, 3, 3), draw(20), 2, 1)),
    "depthwise without bias": (depthwise.depthwise_op, lambda: (draw(1, 4, 9, 5), draw(5, 1, 5, 5), None, 1, 0)),
    "one channel": (depthwise.depthwise_op, lambda: (draw(1, 1, 1, 1), draw(1, 1, 1, 1), draw(1), 1, 0)),
    "residual": (
        residual.gated_residual_op,
        lambda: (draw(2, 4, 9, 20), draw(20), draw(2, 4, 9, 20), draw(2, 1, 1, 20)),
    ),
    "attention": (
        attention.attention_op,
        lambda: (draw(1, 2, 2, 9, 3, 2, 4, grad=False), draw(4, 2, 9, 9, grad=False)),
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_declarations_hold(name: str) -> None:
    operation, arguments = CALLS[name]
    torch.library.opcheck(operation, arguments())


def test_gradient_operations_return_what_they_declare() -> None:
    norm, gate = (draw(20, grad=False), draw(20, grad=False)), draw(2, 5, 20, grad=False)
    weight, x, grad = draw(7, 20, grad=False), draw(2, 5, 20, grad=False), draw(2, 5, 7, grad=False)
    torch.library.opcheck(linear.linear_backward, (grad, x, *norm, gate, weight, None, 0, 1e-5))
    torch.library.opcheck(linear.linear_backward, (grad, x, *norm, None, weight, draw(7, grad=False), 1, 1e-5))
    filters, picture = draw(20, 1, 3, 3, grad=False), draw(2, 4, 9, 20, grad=False)
    torch.library.opcheck(depthwise.depthwise_backward, (picture, picture, filters, draw(20, grad=False), 1, 1))
    factors = draw(20, grad=False), picture, draw(2, 1, 1, 20, grad=False)
    torch.library.opcheck(residual.gated_residual_backward, (picture, picture, *factors))


def test_a_whole_network_compiles_into_one_graph() -> None:
    torch._dynamo.reset()
    network = MambaIR(
        upscale=2, upsampler="pixelshuffledirect", embed_dim=30, depths=(1,), d_state=2, drop_path_rate=0.0
    )
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    x = torch.rand(1, 3, 6, 5)
    parameters = list(network.parameters())
    results = [(y, *torch.autograd.grad(y.square().sum(), parameters)) for y in (network(x), compiled(x))]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_constant_functions_are_marked_as_torch_marks_them() -> None:
    def ours() -> None: ...

    def theirs() -> None: ...

    constant(ours)
    torch.compiler.assume_constant_result(theirs)
    assert vars(ours) == vars(theirs) != {}
