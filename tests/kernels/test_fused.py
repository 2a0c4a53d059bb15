"""The native forms of the fused operations against their torch forms in float64."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mambair_kernels import dispatch, fused, layout
from mambair_kernels.cpu import native
from mambair_kernels.cpu.attention import attention_op
from mambair_kernels.fused import Pair

Operation = Callable[..., Tensor]
LINEAR: Any = fused.norm_linear
GATED: Any = fused.gated_norm_linear
DEPTHWISE: Any = fused.depthwise_conv2d
ACTIVATIONS = st.sampled_from(["identity", "silu", "gelu"])

fuzz = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module", params=["v4", "v3", "v2", "generic"])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    name: str = request.param
    if name not in native.supported():
        pytest.skip(f"this processor cannot run {native.DESCRIPTIONS[name]} code")
    if name not in native.built():
        pytest.skip("this installation has no native library")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.VARIABLE, name)
        patch.setenv(dispatch.VARIABLE, "cpu")
        yield name


def check(operation: Operation, arguments: list[Tensor | None], **options: Any) -> None:
    """Result and all gradients: native in float32 against the torch form in float64."""
    single = [None if tensor is None else tensor.float().requires_grad_() for tensor in arguments]
    double = [None if tensor is None else tensor.detach().double().requires_grad_() for tensor in single]
    assert fused.native(next(tensor for tensor in single if tensor is not None))
    found, expected = operation(*single, **options), operation(*double, **options)
    cotangent = torch.randn(expected.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaves = [[tensor for tensor in tensors if tensor is not None] for tensors in (single, double)]
    results = [found, *torch.autograd.grad(found, leaves[0], cotangent.float())]
    wanted = [expected, *torch.autograd.grad(expected, leaves[1], cotangent)]
    for a, b in zip(results, wanted, strict=True):
        scale = b.abs().max().clamp(min=1)
        torch.testing.assert_close(a.double() / scale, b / scale, rtol=0, atol=1e-4)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@fuzz
@given(st.integers(1, 70), st.integers(5, 40), st.integers(1, 40), ACTIVATIONS, st.booleans())
def test_norm_linear(isa: str, pixels: int, channels: int, out: int, activation: str, biased: bool) -> None:
    bias = draw(out) if biased else None
    x = draw(pixels, channels + 1)[:, 1:] * 3 + 2
    check(LINEAR, [x, draw(channels), draw(channels), draw(out, channels), bias], activation=activation)


@fuzz
@given(st.integers(1, 70), st.integers(1, 40), st.integers(1, 40), ACTIVATIONS, st.booleans())
def test_linear(isa: str, pixels: int, channels: int, out: int, activation: str, biased: bool) -> None:
    bias = draw(out) if biased else None
    check(fused.linear, [draw(pixels, channels), draw(out, channels), bias], activation=activation)


@fuzz
@given(st.integers(1, 5), st.integers(1, 9), st.integers(5, 40), st.integers(1, 20), st.integers(0, 2))
def test_gated_norm_linear(isa: str, height: int, width: int, channels: int, out: int, residuals: int) -> None:
    gate = draw(2, height, width, 2 * channels)[..., channels:]
    x = draw(2, height, width, channels)
    tensors: list[Tensor | None] = [x, gate, draw(channels), draw(channels), draw(out, channels)]
    check(GATED, [*tensors, *[draw(2, height, width, out), draw(out)][:residuals]])


@fuzz
@given(
    st.integers(1, 2),
    st.integers(1, 12),
    st.integers(1, 20),
    st.integers(1, 40),
    st.sampled_from([1, 3, 5, 7]),
    st.integers(1, 3),
    ACTIVATIONS,
)
def test_depthwise_convolution(
    isa: str, batch: int, height: int, width: int, channels: int, kernel: int, dilation: int, activation: str
) -> None:
    x = draw(batch, height, width, channels + 3)[..., 3:]
    tensors: list[Tensor | None] = [x, draw(channels, 1, kernel, kernel), draw(channels)]
    check(DEPTHWISE, tensors, dilation=dilation, activation=activation)
    check(DEPTHWISE, [*tensors[:2], None], dilation=dilation, activation=activation)


def check_rows(operation: Callable[..., tuple[Tensor, ...]], arguments: list[Any]) -> None:
    """What works a row at a time, in float32, against the torch form in float64: the same bytes from any threads."""

    def convert(value: Any) -> Any:
        if isinstance(value, Pair):
            return Pair(*map(convert, value))
        if isinstance(value, tuple):
            return tuple(map(convert, value))
        return value.float() if isinstance(value, Tensor) else value

    single = convert(tuple(arguments))
    results = []
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SMALL", 0)
        expected = operation(*arguments)
        for threads in (1, 2, 5):
            patch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            results.append(operation(*single))
    for found in results:
        for part, wanted, first in zip(found, expected, results[0], strict=True):
            scale = max([1.0, *wanted.abs().flatten().tolist()])
            torch.testing.assert_close(part.double() / scale, wanted / scale, rtol=0, atol=1e-4)
            assert torch.equal(part, first)


IMAGES = (st.integers(1, 3), st.integers(1, 9), st.integers(1, 40))


@fuzz
@given(*IMAGES, st.integers(2, 40), st.integers(1, 40), st.integers(0, 20), st.sampled_from([1, 3, 5]), ACTIVATIONS)
def test_norm_linear_conv(
    isa: str,
    batch: int,
    height: int,
    width: int,
    channels: int,
    inner: int,
    others: int,
    size: int,
    activation: fused.Activation,
) -> None:
    x = draw(batch, height, width, channels + 2)[..., 2:]
    weights = [draw(inner + others, channels), draw(inner, 1, size, size), draw(inner)]
    check_rows(fused.norm_linear_conv, [x, draw(channels), draw(channels), *weights, activation])


@fuzz
@given(*IMAGES, st.integers(2, 40), st.integers(1, 40), st.integers(1, 3), st.booleans())
def test_separable_convolutions(
    isa: str, batch: int, height: int, width: int, channels: int, inner: int, dilation: int, biased: bool
) -> None:
    bias = draw(inner) if biased else None
    pairs = (
        Pair(draw(inner, channels), bias, draw(inner, 1, 3, 3), bias, 1, "gelu"),
        Pair(draw(channels, inner), draw(channels), draw(channels, 1, 3, 3), draw(channels), dilation, "identity"),
    )
    x = draw(batch, height, width, channels)
    check_rows(fused.separable_convolutions, [x, draw(channels), draw(channels), pairs])


def test_pairs_with_wrong_shapes_are_refused(isa: str) -> None:
    x, kernel = torch.randn(1, 4, 5, 6), torch.randn(3, 1, 3, 3)
    with torch.no_grad(), pytest.raises(ValueError, match="weight has shape"):
        fused.norm_linear_conv(x, torch.ones(6), torch.ones(6), torch.randn(2, 6), kernel)


def test_extreme_values_stay_finite_and_exact(isa: str) -> None:
    x = torch.tensor([-1e4, -100.0, -20.0, -5.0, -1e-3, 0.0, 1e-3, 5.0, 20.0, 100.0, 1e4]).view(1, 1, -1, 1)
    weight = torch.ones(1, 1, 1, 1)
    for activation in ("silu", "gelu"):
        found = DEPTHWISE(x, weight, activation=activation)
        expected = DEPTHWISE(x.double(), weight.double(), activation=activation)
        torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)


def test_a_large_mean_does_not_spoil_the_normalisation(isa: str) -> None:
    x = (1000 + torch.randn(9, 37, dtype=torch.float64)).float()
    ones, eye = torch.ones(37), torch.eye(37)
    found = LINEAR(x, ones, 0 * ones, eye)
    expected = torch.nn.functional.layer_norm(x.double(), (37,))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-3)


def test_nothing_outside_the_result_is_written(isa: str) -> None:
    # The result is the middle of a larger block whose rest must stay as it was.
    height, width, channels = 3, 5, 13
    block = torch.full((3, height * width * channels), float("nan"))
    x, weight = torch.randn(1, height, width, channels), torch.randn(channels, 1, 3, 3)
    job = native.DepthwiseArguments(1, height, width, channels, 3, 1, channels, 0, 2)
    job.x, job.weight, job.y = (native.address(tensor) for tensor in (x, weight, block[1]))
    native.call("mambair_depthwise", job)
    assert block[[0, 2]].isnan().all()
    expected = DEPTHWISE(x.double(), weight.double()).float()
    torch.testing.assert_close(block[1].view(1, height, width, channels), expected)


def test_the_torch_form_runs_where_the_native_scan_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dispatch.VARIABLE, "chunked")
    assert not fused.native(torch.zeros(1))
    assert not fused.native(torch.zeros(1, dtype=torch.float64))


@pytest.mark.parametrize("form", ["cpu", "chunked"])
@pytest.mark.parametrize(
    ("operation", "shapes"),
    [
        (LINEAR, [(2, 8), (7,), (8,), (3, 8)]),
        (LINEAR, [(2, 8), (8,), (8,), (3, 9)]),
        (LINEAR, [(2, 8), (8,), (8,), (3, 8), (2,)]),
        (fused.linear, [(2, 8), (3, 9)]),
        (GATED, [(2, 8), (2, 7), (8,), (8,), (3, 8)]),
        (GATED, [(2, 8), (2, 8), (8,), (8,), (3, 8), (2, 4)]),
        (GATED, [(2, 8), (2, 8), (8,), (8,), (3, 8), (2, 3), (4,)]),
        (DEPTHWISE, [(1, 4, 4, 8), (7, 1, 3, 3)]),
        (DEPTHWISE, [(1, 4, 4, 8), (8, 1, 3, 3), (7,)]),
        (fused.channel_gate, [(1, 1, 1, 8), (2, 7), (2,), (8, 2), (8,)]),
        (fused.channel_gate, [(1, 1, 1, 8), (2, 8), (3,), (8, 2), (8,)]),
        (fused.channel_gate, [(1, 1, 1, 8), (2, 8), (2,), (8, 3), (8,)]),
    ],
)
def test_shapes_that_do_not_fit_are_refused_before_memory_is_read(
    operation: Operation, shapes: list[tuple[int, ...]], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(dispatch.VARIABLE, form)
    if form == "cpu" and not native.available()[0]:
        pytest.skip(native.available()[1])
    with torch.inference_mode(), pytest.raises((ValueError, RuntimeError)):
        operation(*(torch.zeros(shape) for shape in shapes))


def test_mixed_types_devices_and_empty_batches_are_left_to_torch(isa: str) -> None:
    x, ones = torch.randn(2, 4), torch.ones(4)
    assert fused.native(x, ones)
    assert not fused.native(x, ones.double())
    assert not fused.native(x, ones.to("meta"))
    with torch.inference_mode():
        assert LINEAR(x[:0], ones, ones, torch.ones(3, 4)).shape == (0, 3)
        assert DEPTHWISE(torch.zeros(0, 3, 3, 4), torch.ones(4, 1, 3, 3)).shape == (0, 3, 3, 4)
    with pytest.raises(ValueError, match="meta"):
        native.address(ones.to("meta"))


@fuzz
@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 40), st.integers(1, 70))
def test_gated_residual(isa: str, batch: int, height: int, width: int, channels: int) -> None:
    x, features = draw(batch, height, width, channels), draw(batch, height, width, channels)
    check(fused.gated_residual, [x, draw(channels), features, draw(batch, 1, 1, channels)])


@fuzz
@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 20))
def test_channel_gate(isa: str, batch: int, channels: int, hidden: int) -> None:
    squeeze, excite = draw(hidden, channels) / channels**0.5, draw(channels, hidden) / hidden**0.5
    inputs = [draw(batch, 1, 1, channels), squeeze, draw(hidden), excite, draw(channels)]
    with torch.inference_mode():
        found = fused.channel_gate(*(tensor.float() for tensor in inputs))
    torch.testing.assert_close(found.double(), fused.channel_gate(*inputs), rtol=0, atol=2e-6)


def test_channel_gate_hides_no_lost_values(isa: str) -> None:
    mean = torch.zeros(2, 1, 1, 3)
    mean[1, 0, 0, 1] = torch.nan
    with torch.inference_mode():
        found = fused.channel_gate(mean, torch.ones(2, 3), torch.zeros(2), torch.ones(3, 2), torch.zeros(3))
    assert torch.equal(found[0], torch.full((1, 1, 3), 0.5))
    assert found[1].isnan().all()


def test_channel_gate_without_hidden_channels(isa: str) -> None:
    """Also in a thread whose scratch memory is still empty."""
    inputs = torch.ones(1, 1, 1, 3), torch.ones(0, 3), torch.ones(0), torch.ones(3, 0), torch.zeros(3)
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(torch.inference_mode()(fused.channel_gate), *inputs).result()
    assert torch.equal(found, torch.full((1, 1, 1, 3), 0.5))


@fuzz
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 70), st.integers(1, 3), st.integers(1, 40), st.booleans())
def test_window_attention(
    isa: str, rows: int, columns: int, tokens: int, heads: int, head_dim: int, seams: bool
) -> None:
    qkv = draw(2, rows, columns, tokens, 3, heads, head_dim) * 2
    bias = draw(4 if seams else 1, heads, tokens, tokens) * 3
    bias[-1, :, :, : tokens // 2] -= 100.0
    expected = fused.window_attention(qkv, bias)
    with torch.no_grad():
        found = fused.window_attention(qkv.float(), bias.float())
        recorded = attention_op(qkv.float(), bias.float())
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=5e-5)
    assert torch.equal(found, recorded)


def test_window_attention_formula() -> None:
    qkv, bias = draw(1, 2, 2, 5, 3, 2, 3), draw(4, 2, 5, 5)
    y = fused.window_attention(qkv, bias)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        for head in range(2):
            q, k, v = qkv[0, row, column, :, :, head].unbind(1)
            weights = (q @ k.T / 3**0.5 + bias[2 * row + column, head]).softmax(-1)
            torch.testing.assert_close(y[0, row, column].unflatten(-1, (2, 3))[:, head], weights @ v)


def test_window_attention_refuses_bias_that_does_not_fit() -> None:
    qkv = draw(1, 2, 2, 5, 3, 2, 3)
    for shape in ((2, 2, 5, 5), (1, 1, 5, 5), (4, 2, 5, 4)):
        with pytest.raises(ValueError, match="bias"):
            fused.window_attention(qkv, draw(*shape))


def test_window_attention_has_gradients() -> None:
    qkv = draw(1, 2, 1, 4, 3, 1, 2).requires_grad_()
    bias = draw(4, 1, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(fused.window_attention, (qkv, bias))
    single = fused.window_attention(qkv.float(), bias.float())
    assert single.requires_grad
