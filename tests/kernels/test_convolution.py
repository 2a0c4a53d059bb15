"""Convolution with its surroundings against torch's layers in float64."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mambair_kernels import convolution as module
from mambair_kernels.convolution import convolution


def expected(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str, residual: Tensor | None) -> Tensor:
    y = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=weight.shape[-1] // 2).permute(0, 2, 3, 1)
    y = {"identity": y, "silu": F.silu(y), "gelu": F.gelu(y)}[activation]
    return y if residual is None else y + residual


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 9)] * 2),
    channels=st.tuples(*[st.integers(1, 20)] * 2),
    kernel=st.sampled_from([1, 3, 5]),
    biased=st.booleans(),
    activation=st.sampled_from(["identity", "silu", "gelu", "residual"]),
)
def test_it_equals_torch(
    size: tuple[int, int], channels: tuple[int, int], kernel: int, biased: bool, activation: Any
) -> None:
    draw = torch.Generator().manual_seed(hash((size, channels, kernel)) % 2**31)
    x, residual = (torch.randn(2, *size, c, generator=draw) for c in channels)
    weight = torch.randn(channels[1], channels[0], kernel, kernel, generator=draw)
    bias = torch.randn(channels[1], generator=draw) if biased else None
    added = residual if activation == "residual" else None
    activation = "identity" if added is not None else activation
    wide = [None if tensor is None else tensor.double() for tensor in (bias, added)]
    wanted = expected(x.double(), weight.double(), wide[0], activation, wide[1])
    found = convolution(x, weight, bias, activation, added)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)


def test_gradients_take_the_torch_form() -> None:
    x, weight = torch.randn(1, 5, 6, 3), torch.randn(4, 3, 3, 3, requires_grad=True)
    assert module._onednn(x, weight.detach())
    assert not module._onednn(x, weight)
    (gradient,) = torch.autograd.grad(convolution(x, weight, None, "silu").sum(), weight)
    (wanted,) = torch.autograd.grad(expected(x, weight, None, "silu", None).sum(), weight)
    torch.testing.assert_close(gradient, wanted)


def test_an_activation_before_a_residual_is_refused() -> None:
    x, weight = torch.randn(1, 5, 6, 3), torch.randn(3, 3, 3, 3)
    with pytest.raises(ValueError, match="before a residual"):
        convolution(x, weight, None, "silu", x)
