"""Gradients of every parameter of a whole network on the fast backends against the float64 reference scan."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mambair_archs import MaIR, MambaIR, T_PMambaSR
from mambair_kernels import dispatch
from mambair_kernels.cpu import native


def gradients(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Of a loss that weighs every output differently."""
    network.zero_grad()
    y = network(x)
    weights = torch.linspace(-1, 1, y.numel(), dtype=x.dtype).sin().view_as(y)
    (y * weights).sum().backward()
    return {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "light": lambda: MambaIR(upscale=2, upsampler="pixelshuffledirect", d_state=10, mlp_ratio=1.2, drop_path_rate=0.0),
    "gated": lambda: MaIR(embed_dim=8, depths=(2,), d_state=2, scan_len=4, drop_path_rate=0.0),
    "shared out": lambda: MambaIR(
        embed_dim=12, depths=(1,), d_state=2, squeeze_factor=4, scan={"paths": ["gilbert", "column"], "merge": "concat"}
    ),
    "tpmamba": lambda: T_PMambaSR(
        upscale=2, embed_dim=16, depths=(2,), num_heads=(2,), d_state=2, window_size=4, convffn_kernel_size=3
    ),
}


@pytest.fixture(scope="module", params=NETWORKS)
def expected(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, dict[str, Tensor]]:
    """A network, an image, and the gradients in float64."""
    torch.manual_seed(0)
    network = NETWORKS[request.param]().train()
    x = torch.rand(1, 3, 5, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(dispatch.VARIABLE, "reference")
        found = gradients(copy.deepcopy(network).double(), x.double())
    return network, x, found


@pytest.mark.parametrize("backend", ["cpu", "chunked"])
def test_equal_those_of_the_reference(
    backend: str, expected: tuple[nn.Module, Tensor, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "cpu" and not native.built():
        pytest.skip("this installation has no native library")
    network, x, wanted = expected
    monkeypatch.setenv(dispatch.VARIABLE, backend)
    found = gradients(network, x)
    assert found.keys() == wanted.keys() == dict(network.named_parameters()).keys()
    largest = max(grad.norm() for grad in wanted.values())
    for name, grad in wanted.items():  # some are zero: a rectifier switches a layer off, detail has no mean
        error = (found[name].double() - grad).norm()
        assert error <= 1e-4 * max(float(grad.norm()), 1e-6 * float(largest)), f"{name}: {error / grad.norm():.1e}"
