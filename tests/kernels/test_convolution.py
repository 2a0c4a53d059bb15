"""Convolution with its surroundings against torch's layers in float64."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mambair_kernels.convolution import convolution, convolve_rows, upsample_rows
from mambair_kernels.cpu.convolution import convolution as native_convolution
from mambair_kernels.cpu.convolution import convolution_op


def expected(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str, residual: Tensor | None) -> Tensor:
    y = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, padding=1).permute(0, 2, 3, 1)
    y = {"identity": y, "silu": F.silu(y), "gelu": F.gelu(y)}[activation]
    return y if residual is None else y + residual


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 70)),
    channels=st.tuples(*[st.integers(1, 70)] * 2),
    biased=st.booleans(),
    activation=st.sampled_from(["identity", "silu", "gelu"]),
    added=st.booleans(),
)
def test_it_equals_torch(
    size: tuple[int, int], channels: tuple[int, int], biased: bool, activation: Any, added: bool
) -> None:
    x, residual = (drawn(2, *size, c, seed=c) for c in channels)
    weight = drawn(channels[1], channels[0], 3, 3) / 3 / channels[0] ** 0.5
    bias = drawn(channels[1]) if biased else None
    wide = [None if tensor is None else tensor.double() for tensor in (bias, residual if added else None)]
    wanted = expected(x.double(), weight.double(), wide[0], activation, wide[1])
    found = convolution(x, weight, bias, activation, residual if added else None)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=2e-6 * max(1.0, float(wanted.abs().max())))


def test_its_errors_are_those_of_rounding() -> None:
    """Of a network's sizes, beside direct sums in float32."""
    x, weight = drawn(1, 40, 44, 48), drawn(48, 48, 3, 3) / 20
    wanted = expected(x.double(), weight.double(), None, "identity", None)
    direct = F.conv2d(x.permute(0, 3, 1, 2), weight, padding=1).permute(0, 2, 3, 1)
    errors = [float((y.double() - wanted).square().mean().sqrt()) for y in (convolution(x, weight), direct)]
    assert errors[0] < 1e-6 * float(wanted.std())
    assert errors[0] < 8 * errors[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("below", [False, True])
def test_rows_may_lie_in_several_tensors(dtype: torch.dtype, above: bool, below: bool) -> None:
    x, weight, residual = drawn(2, 9, 13, 5).to(dtype), drawn(7, 5, 3, 3).to(dtype), drawn(2, 9, 13, 7).to(dtype)
    whole = expected(x, weight, None, "identity", residual)
    first, last = int(not above), 9 - (not below)
    added = [residual[:, first:6], residual[:, 6:last]]
    found = convolve_rows([x[:, :4], x[:, 4:5], x[:, 5:]], weight, residual=added, above=above, below=below)
    torch.testing.assert_close(found, whole[:, first:last], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("factor", "added"), [(1, 3), (2, 3), (2, 12), (3, 1), (4, 3)])
def test_upsampling_is_a_convolution_and_a_pixel_shuffle(dtype: torch.dtype, factor: int, added: int) -> None:
    out = 3 * factor**2
    x, weight, bias = drawn(2, 6, 21, 5).to(dtype), drawn(out, 5, 3, 3).to(dtype) / 7, drawn(out).to(dtype)
    anchor = drawn(2, 6, 21, added).to(dtype)
    y = expected(x, weight, bias, "identity", anchor.repeat_interleave(out // added, -1))
    whole = F.pixel_shuffle(y.permute(0, 3, 1, 2), factor)
    found = torch.full((2, 3, 6 * factor, 21 * factor), torch.nan, dtype=dtype)
    for top, bottom in ((0, 4), (4, 6)):
        upsample_rows(
            [x[:, max(0, top - 1) : bottom + 1]],
            weight,
            bias,
            [anchor[:, top:bottom]],
            factor,
            above=top == 0,
            below=bottom == 6,
            to=found[:, :, top * factor : bottom * factor],
        )
    torch.testing.assert_close(found, whole, rtol=1e-5, atol=1e-5)


def test_upsampling_checks_where_it_writes() -> None:
    x, weight, anchor = [drawn(1, 3, 5, 2)], drawn(12, 2, 3, 3), [drawn(1, 3, 5, 3)]
    for to in (drawn(1, 3, 6, 8), drawn(1, 3, 10, 6).mT):
        with pytest.raises(ValueError, match="to has"):
            upsample_rows(x, weight, None, anchor, 2, above=True, below=True, to=to)


def test_threads_and_parts_give_the_same_bits() -> None:
    x, weight, bias, residual = drawn(1, 50, 130, 20), drawn(24, 20, 3, 3), drawn(24), drawn(1, 50, 130, 24)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(convolution(x, weight, bias, "silu", residual))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found[1:])
    part = convolve_rows([x[:, 19:38]], weight, bias, "silu", [residual[:, 20:37]], above=False, below=False)
    assert torch.equal(part[:, :16], found[0][:, 20:36])


@pytest.mark.parametrize("activation", ["identity", "silu"])
@pytest.mark.parametrize("needed", ["xwb", "w", "x", "b"])
def test_gradients(activation: Any, needed: str) -> None:
    tensors = dict(zip("xwb", (drawn(2, 9, 14, 20), drawn(24, 20, 3, 3) / 13, drawn(24)), strict=True))
    residual, grad = drawn(2, 9, 14, 24), drawn(2, 9, 14, 24, seed=1)
    leaves = [tensors[name].requires_grad_() for name in needed]
    y = convolution(tensors["x"], tensors["w"], tensors["b"], activation, residual)
    found = torch.autograd.grad(y, leaves, grad)
    y = expected(tensors["x"].double(), tensors["w"].double(), tensors["b"].double(), activation, residual.double())
    for value, wanted in zip(found, torch.autograd.grad(y, leaves, grad.double()), strict=True):
        torch.testing.assert_close(value, wanted, rtol=0, atol=3e-6 * float(wanted.abs().max()))


def test_the_operation_is_what_it_declares() -> None:
    x, weight, bias, residual = drawn(1, 7, 9, 3), drawn(4, 3, 3, 3), drawn(4), drawn(1, 6, 9, 4)
    torch.library.opcheck(convolution_op, ([x[:, :2], x[:, 2:]], weight, bias, [residual], True, False, 1))
    recorded = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    torch.library.opcheck(convolution_op, (recorded[:1], *recorded[1:], [], True, True, 0))


@pytest.mark.parametrize("wrong", ["weight", "bias", "residual", "rows"])
def test_shapes_are_checked(wrong: str) -> None:
    residual = drawn(1, 7, 9, 3 if wrong == "residual" else 4)[:, : 6 if wrong == "rows" else 7]
    weight, bias = drawn(4, 2 if wrong == "weight" else 3, 3, 3), drawn(3 if wrong == "bias" else 4)
    with pytest.raises(ValueError, match=wrong):
        native_convolution([drawn(1, 7, 9, 3)], weight, bias, [residual], True, True, 0)
