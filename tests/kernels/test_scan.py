from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import mambair_kernels
from benchmarks import published_scan
from mambair_kernels import CROSS_SCAN, Paths
from mambair_kernels.operations import SequenceScan

# Arguments travel as lists here, which a type checker cannot count.
reference: Any = mambair_kernels.reference
chunked: Any = mambair_kernels.chunked
scan_2d: Any = mambair_kernels.scan_2d
selective_scan: Any = mambair_kernels.selective_scan

SMALL = st.integers(1, 3)
LENGTHS = st.integers(1, 23)


@contextmanager
def chunks_of(steps: int) -> Iterator[None]:
    """Make the chunked backend work in chunks of this length."""
    saved = chunked.MIN_CHUNK, chunked.MAX_CHUNK
    chunked.MIN_CHUNK = chunked.MAX_CHUNK = steps
    try:
        yield
    finally:
        chunked.MIN_CHUNK, chunked.MAX_CHUNK = saved


def sequences(
    batch: int, groups: int, channels: int, state: int, length: int, dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Arguments of selective_scan: u, delta, A, B, C, D, delta_bias."""
    rows = groups * channels
    return [
        torch.randn(batch, rows, length, dtype=dtype),
        torch.randn(batch, rows, length, dtype=dtype),
        -torch.rand(rows, state, dtype=dtype) * 3,
        torch.randn(batch, groups, state, length, dtype=dtype),
        torch.randn(batch, groups, state, length, dtype=dtype),
        torch.randn(rows, dtype=dtype),
        torch.randn(rows, dtype=dtype),
    ]


def images(batch: int, height: int, width: int, channels: int, state: int, rank: int, paths: int = 4) -> list[Tensor]:
    """Arguments of scan_2d without paths and c_bias, float64."""
    double = torch.float64
    return [
        torch.randn(batch, height, width, channels, dtype=double),
        torch.randn(paths, rank + 2 * state, channels, dtype=double) / channels**0.5,
        torch.randn(paths, channels, rank, dtype=double),
        torch.randn(paths, channels, dtype=double),
        torch.randn(paths * channels, state, dtype=double),
        torch.randn(paths * channels, dtype=double),
    ]


def gradients(function: Any, arguments: list[Tensor], *rest: Any) -> list[Tensor]:
    """Output and gradients of all arguments for a fixed random cotangent."""
    leaves = [tensor.clone().requires_grad_() for tensor in arguments]
    output = function(*leaves, *rest)
    cotangent = torch.randn(output.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return [output, *torch.autograd.grad(output, leaves, cotangent.to(output.dtype))]


@pytest.mark.parametrize("backend", [reference, chunked])
@pytest.mark.parametrize("length", [1, 7, 33])
def test_constant_parameters_give_the_convolution_of_a_linear_system(backend: Any, length: int) -> None:
    # With constant delta, A, B, C the scan is y = K * u + D u with K_j = sum_n C_n exp(delta A_n)^j delta B_n.
    delta, state = 0.3, 5
    u = torch.randn(1, 1, length, dtype=torch.float64)
    A = -torch.arange(1, state + 1, dtype=torch.float64)[None]
    B, C = torch.randn(2, state, dtype=torch.float64)
    D = torch.tensor([0.7], dtype=torch.float64)
    kernel = torch.stack([(C * torch.exp(delta * A[0]) ** j * delta * B).sum() for j in range(length)])
    expected = torch.stack([(kernel[: t + 1].flip(0) * u[0, 0, : t + 1]).sum() for t in range(length)]) + 0.7 * u[0, 0]
    constant = torch.ones(1, 1, 1, length, dtype=torch.float64)
    y = backend.selective_scan(
        u, torch.full_like(u, delta), A, B[None, None, :, None] * constant, C[None, None, :, None] * constant, D, None,
        False,
    )  # fmt: skip
    torch.testing.assert_close(y[0, 0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", [reference, chunked])
def test_gradcheck_in_float64_on_an_odd_length(backend: Any) -> None:
    arguments = [tensor.requires_grad_() for tensor in sequences(2, 2, 3, 2, 7)]
    with chunks_of(3):
        assert torch.autograd.gradcheck(lambda *a: backend.selective_scan(*a, True), arguments)


@pytest.mark.parametrize("backend", [reference, chunked])
def test_gradcheck_of_the_image_scan(backend: Any) -> None:
    arguments = [tensor.requires_grad_() for tensor in images(1, 3, 2, 2, 2, 1)]
    with chunks_of(4):
        assert torch.autograd.gradcheck(lambda *a: backend.scan_2d(*a, CROSS_SCAN, None), arguments)


@settings(max_examples=40, deadline=None)
@given(SMALL, SMALL, SMALL, SMALL, LENGTHS, st.integers(1, 9), st.booleans(), st.booleans())
def test_chunked_equals_reference_with_all_gradients(
    batch: int, groups: int, channels: int, state: int, length: int, steps: int, softplus: bool, bare: bool
) -> None:
    arguments = sequences(batch, groups, channels, state, length)
    if not softplus:
        arguments[1], arguments[6] = arguments[1].abs() * 0.1, arguments[6].abs() * 0.1
    rest: tuple[Any, ...] = (softplus,)
    if bare:
        arguments, rest = arguments[:5], (None, None, softplus)
    expected = gradients(reference.selective_scan, arguments, *rest)
    with chunks_of(steps):
        found = gradients(chunked.selective_scan, arguments, *rest)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(SMALL, st.integers(1, 6), st.integers(1, 6), SMALL, SMALL, SMALL, st.integers(1, 9))
def test_chunked_image_scan_equals_reference(
    batch: int, height: int, width: int, channels: int, state: int, rank: int, steps: int
) -> None:
    arguments = images(batch, height, width, channels, state, rank)
    expected = gradients(reference.scan_2d, arguments, CROSS_SCAN, None)
    with chunks_of(steps):
        found = gradients(chunked.scan_2d, arguments, CROSS_SCAN, None)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_paths_per_image_with_a_prompt_on_c() -> None:
    batch, height, width, state = 2, 3, 5, 4
    arguments = images(batch, height, width, 6, state, 2, paths=1)
    order: Paths = torch.stack([torch.randperm(15) for _ in range(batch)])[:, None]
    prompt = torch.randn(batch, 15, state, dtype=torch.float64)
    expected = gradients(lambda *a: reference.scan_2d(*a[:-1], order, a[-1]), [*arguments, prompt])
    with chunks_of(4):
        found = gradients(lambda *a: chunked.scan_2d(*a[:-1], order, a[-1]), [*arguments, prompt])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_the_prompt_is_added_by_step_and_not_permuted() -> None:
    # One channel, one state, B = 1, C = 0 without prompt: y at step k is prompt[k] times the running state.
    x = torch.tensor([3.0, 5.0, 7.0], dtype=torch.float64).view(1, 1, 3, 1)
    order = torch.tensor([[[2, 0, 1]]])
    x_proj = torch.zeros(1, 3, 1, dtype=torch.float64)
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    x_proj[0, 1] = 1  # B = u
    prompt = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64).view(1, 3, 1)
    y = scan_2d(x, x_proj, torch.zeros(1, 1, 1, dtype=torch.float64), zero, zero, 0 * one, order, prompt)
    step = torch.nn.functional.softplus(zero)[0, 0]
    decay = torch.exp(-step)
    h1 = step * 49
    h2 = decay * h1 + step * 9
    h3 = decay * h2 + step * 25
    torch.testing.assert_close(y.flatten(), torch.stack([10 * h2, 100 * h3, h1]))


def test_published_formulation_agrees() -> None:
    arguments = [tensor.float() for tensor in images(2, 5, 7, 8, 6, 2)]
    torch.testing.assert_close(scan_2d(*arguments), published_scan.cross_scan_core(*arguments), rtol=1e-4, atol=1e-4)
    published: Any = published_scan.selective_scan
    arguments = [tensor.float() for tensor in sequences(2, 2, 3, 4, 9)]
    torch.testing.assert_close(selective_scan(*arguments, True), published(*arguments, True), rtol=1e-4, atol=1e-4)


def test_long_memory_and_large_steps_stay_finite() -> None:
    u, delta, A, B, C, D, bias = (tensor.float() for tensor in sequences(1, 1, 4, 3, 600))
    y = selective_scan(u, delta * 50, A * 100, B, C, D, bias, True)
    assert y.isfinite().all()
    torch.testing.assert_close(
        y, reference.selective_scan(u, delta * 50, A * 100, B, C, D, bias, True), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_input_keeps_a_float32_state(dtype: torch.dtype) -> None:
    arguments = sequences(1, 1, 2, 3, 400)
    low = [tensor.to(dtype) for tensor in arguments]
    low[2] = arguments[2].float()
    y = selective_scan(*low, True)
    assert y.dtype == dtype
    exact = reference.selective_scan(*(tensor.double() for tensor in low), True)
    torch.testing.assert_close(y.double(), exact, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_autocast_leaves_the_scan_in_float32(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMBAIR_SCAN_BACKEND", backend)
    arguments = [tensor.float().requires_grad_() for tensor in images(1, 4, 5, 6, 3, 2)]
    expected = scan_2d(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        found = scan_2d(*arguments)
    assert torch.equal(found, expected)
    results = (torch.autograd.grad(y.sum(), arguments) for y in (found, expected))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_integers_are_refused() -> None:
    arguments = images(1, 2, 3, 4, 2, 1)
    with pytest.raises(ValueError, match="floating-point"):
        scan_2d(arguments[0].long(), *arguments[1:])


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = result if isinstance(result, tuple | list) else [result]
        self.numel = max([self.numel, *(x.numel() for x in outputs if isinstance(x, Tensor))])
        return result


def test_chunked_never_holds_all_states() -> None:
    batch, channels, state, length = 2, 32, 16, 512
    arguments = sequences(batch, 1, channels, state, length)
    # The bare functions: the mode sees a custom operation as one.
    with chunks_of(32), LargestTensor() as largest:
        y, kept = chunked._scan_sequences(SequenceScan._make([*arguments, True]), True)
        chunked._sequence_gradients(torch.ones_like(y), SequenceScan._make([*arguments, True]), kept)
    assert largest.numel >= batch * channels * 32 * state
    assert largest.numel <= batch * channels * length * state // 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: torch.zeros(1, 4, 6)}, "delta"),
        ({2: torch.zeros(4, 3)}, "B"),
        ({3: torch.zeros(1, 3, 2, 5)}, "3 groups"),
        ({5: torch.zeros(3)}, "D"),
        ({6: torch.zeros(5)}, "delta_bias"),
        ({0: torch.zeros(1, 4, 0)}, "non-empty"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change: dict[int, Tensor], message: str) -> None:
    arguments = sequences(1, 2, 2, 2, 5)
    for position, tensor in change.items():
        arguments[position] = tensor
    with pytest.raises(ValueError, match=message):
        selective_scan(*arguments)


@pytest.mark.parametrize(("position", "name"), [(1, "x_proj"), (3, "dt_bias"), (4, "A_log"), (5, "D")])
def test_image_scan_names_shapes_that_do_not_fit(position: int, name: str) -> None:
    arguments = images(1, 2, 3, 4, 2, 1)
    arguments[position] = arguments[position][:-1]
    with pytest.raises(ValueError, match=name):
        scan_2d(*arguments)
    with pytest.raises(ValueError, match="c_bias"):
        scan_2d(*images(1, 2, 3, 4, 2, 1), c_bias=torch.zeros(1, 5, 2))
