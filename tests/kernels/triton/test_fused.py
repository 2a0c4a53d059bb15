"""The fused operations on cards, under Triton's interpreter, against their torch forms in float64."""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mambair_kernels import dispatch, fused
from mambair_kernels.triton import fused as card
from mambair_kernels.triton.scan import INTERPRET
from tests.kernels.triton.interpreter import interpreting

Operation = Callable[..., Tensor]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fresh memory is NaN."""
    monkeypatch.setenv(dispatch.VARIABLE, "triton")
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    card.works.cache_clear()
    with interpreting():
        yield
    torch.use_deterministic_algorithms(False)
    card.works.cache_clear()


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def check(operation: Operation, tensors: list[Tensor | None], tolerance: float = 1e-5, **options: Any) -> None:
    single = [None if each is None else each.float() for each in tensors]
    with torch.no_grad():
        assert fused._on_card(*single)
        found, exact = operation(*single, **options), operation(*tensors, **options)
    assert found.shape == exact.shape
    torch.testing.assert_close(found.double() / exact.abs().max(), exact / exact.abs().max(), rtol=0, atol=tolerance)


# Channels: below the least piece, a piece, a piece and a rest, a rest as large as it; outputs: one turn and more.
@pytest.mark.parametrize(("channels", "out"), [(5, 3), (16, 64), (60, 144), (72, 60), (128, 33)])
def test_linear_layers(channels: int, out: int) -> None:
    x = draw(2, 3, 7, channels) * 3 + 2
    norm, weight, bias = [draw(channels), draw(channels)], draw(out, channels), draw(out)
    activation = random.Random(out).choice(["silu", "gelu"])
    check(fused.linear, [x, weight])
    check(fused.linear, [x, weight, bias], activation=activation)
    check(fused.norm_linear, [x, *norm, weight, bias], activation=activation)
    gate, residual = draw(2, 3, 7, 2 * channels)[..., channels:], draw(2, 3, 7, out)
    check(fused.gated_norm_linear, [x, gate, *norm, weight])
    check(fused.gated_norm_linear, [x, gate, *norm, weight, residual])
    check(fused.gated_norm_linear, [x, gate, *norm, weight, residual, draw(out)])


def test_rows_that_lie_unevenly() -> None:
    weight = draw(4, 6)
    check(fused.linear, [draw(2, 5, 9, 6)[:, :, :7], weight])
    check(fused.linear, [draw(2, 6, 5).mT, weight])
    check(fused.linear, [draw(6), weight])


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("size", [(1, 1, 1, 3), (2, 9, 7, 40), (1, 5, 70, 5)])
def test_depthwise_convolution(kernel: int, dilation: int, size: tuple[int, int, int, int]) -> None:
    *outer, channels = size
    x, weight = draw(*outer, channels + 3)[..., 3:], draw(channels, 1, kernel, kernel)
    check(fused.depthwise_conv2d, [x, weight, draw(channels)], dilation=dilation, activation="silu")
    check(fused.depthwise_conv2d, [x, weight], dilation=dilation, activation="gelu")


def test_gated_residual() -> None:
    tensors: list[Tensor | None] = [draw(2, 5, 9, 17), draw(17), draw(2, 5, 9, 17), draw(2, 1, 1, 17)]
    check(fused.gated_residual, tensors)


@pytest.mark.parametrize(("channels", "hidden"), [(5, 1), (16, 4), (60, 2), (180, 6), (130, 31)])
def test_channel_gate(channels: int, hidden: int) -> None:
    tensors: list[Tensor | None] = [draw(3, 1, 1, channels), draw(hidden, channels) / channels**0.5, draw(hidden)]
    check(fused.channel_gate, [*tensors, draw(channels, hidden), draw(channels)])


def test_a_large_mean_does_not_spoil_the_normalisation() -> None:
    x, eye = (1000 + draw(9, 37)).float().double(), torch.eye(37, dtype=torch.float64)
    check(fused.norm_linear, [x, eye.sum(0), 0 * x[0], eye], tolerance=1e-4)


@pytest.mark.parametrize("autocast", [False, True])
def test_low_precision(autocast: bool) -> None:
    """Types of results are those of the torch forms, also under autocast, where sums stay in float32."""
    tensors = [draw(1, 3, 5, 20), draw(1, 3, 5, 20), draw(20), draw(20), draw(9, 20), draw(1, 3, 5, 9), draw(9)]
    taps = draw(20, 1, 3, 3)
    kind = torch.float32 if autocast else torch.bfloat16
    x, gate, *rest = (each.to(kind) for each in tensors)

    def run(x: Tensor, gate: Tensor, norm: Tensor, shift: Tensor, weight: Tensor, added: Tensor, scale: Tensor) -> Any:
        return (
            fused.norm_linear(x, norm, shift, weight, None, "gelu"),
            fused.gated_norm_linear(x, gate, norm, shift, weight, added, scale),
            fused.depthwise_conv2d(x, taps.to(x.dtype), None, 1, "silu"),
            fused.gated_residual(x, norm, gate, gate[:, :1, :1]),
            fused.channel_gate(x[:, :1, :1], weight, scale, weight.mT, norm),
        )

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert fused._on_card(x, gate)
        found = run(x, gate, *rest)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(dispatch.VARIABLE, "chunked")
            expected = run(x, gate, *rest)
    exact = run(*(each.double() for each in (x, gate, *rest)))
    for a, b, c in zip(found, expected, exact, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a.double() / c.abs().max(), c / c.abs().max(), rtol=0, atol=2e-2)


def test_gradients_take_the_torch_form() -> None:
    x, weight = torch.randn(2, 3, 4), torch.randn(5, 4, requires_grad=True)
    assert not fused._on_card(x, weight)
    fused.linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum((0, 1)).expand(5, -1))


def test_the_torch_form_serves_where_kernels_do_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "interpreted", lambda: False)
    assert card.works(CPU)
    for wrong in (lambda *_: 1e-3, lambda *_: float("nan")):
        card.works.cache_clear()
        monkeypatch.setattr(card, "deviation", wrong)
        assert not fused._on_card(torch.zeros(1, 4))
    assert card.works(torch.device("meta")) is False


def test_what_decides_whether_to_trust_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    assert card.deviation(CPU, 20) < 1e-6
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert card.deviation(CPU, 20) < 1e-6
    monkeypatch.setattr(card, "depthwise", lambda x, *_: x)
    assert card.deviation(CPU, 20) > 0.1


def test_a_launch_that_triton_does_not_look_at_arrives_as_one_that_it_does(tmp_path: Path) -> None:
    """In processes of their own, as their Triton compiles; the second finds all that the first has compiled."""
    environment = {name: value for name, value in os.environ.items() if name not in (INTERPRET, dispatch.VARIABLE)}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    for compiled in ("14\n", "0\n"):
        command = [sys.executable, "-m", "tests.kernels.triton.driverless"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, compiled, "")
