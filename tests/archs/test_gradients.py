"""Gradients of every parameter of a whole network on the fast backends against the float64 reference scan."""

import copy

import pytest
import torch
from torch import Tensor, nn

from mambair_archs import MambaIR
from mambair_kernels import dispatch, native


def gradients(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Of a loss that weighs every output differently."""
    network.zero_grad()
    y = network(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=x.dtype).sin().view_as(y)
    (y * weights).sum().backward()
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


@pytest.fixture(scope="module")
def expected() -> tuple[nn.Module, Tensor, dict[str, Tensor]]:
    """The published light network, an image, and the gradients in float64."""
    torch.manual_seed(0)
    network = MambaIR(upscale=2, upsampler="pixelshuffledirect", d_state=10, mlp_ratio=1.2, drop_path_rate=0.0).train()
    x = torch.rand(1, 3, 5, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(dispatch.VARIABLE, "reference")
        found = gradients(copy.deepcopy(network).double(), x.double())
    return network, x, found


@pytest.mark.parametrize("backend", ["cpu", "chunked"])
def test_light_network(
    backend: str, expected: tuple[nn.Module, Tensor, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "cpu" and not native.built():
        pytest.skip("this installation has no native library")
    network, x, wanted = expected
    monkeypatch.setenv(dispatch.VARIABLE, backend)
    found = gradients(network, x)
    assert found.keys() == wanted.keys() == dict(network.named_parameters()).keys()
    largest = max(grad.norm() for grad in wanted.values())
    for name, grad in wanted.items():  # a rectifier may switch a whole layer off: its gradients are zero
        error = (found[name].double() - grad).norm()
        assert error <= 1e-4 * max(float(grad.norm()), 1e-9 * float(largest)), f"{name}: {error / grad.norm():.1e}"
