"""The adapter to mamba-ssm on a stand-in for its extension: what it is called with, and what comes of it."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import mambair_kernels
from mambair_kernels import CROSS_SCAN, BackendError, dispatch
from mambair_kernels.paths import Paths
from tests.kernels.backends import use
from tests.kernels.test_cpu import assert_close, differentiate, image_case, permutations, sequence_case

# Arguments travel as lists here, which a type checker cannot count.
adapter: Any = mambair_kernels.mamba_ssm
reference: Any = mambair_kernels.reference


@pytest.fixture
def _stand_in() -> Iterator[None]:
    with use("mamba_ssm"):
        yield


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("length", [1, 23])
def test_sequences_with_all_gradients(length: int, bare: bool) -> None:
    inputs = sequence_case(1, 2, 2, 3, length, 4)[: 5 if bare else 7]

    def run(backend: Any) -> Callable[[list[Tensor]], Tensor]:
        return lambda leaves: backend.selective_scan(*leaves, *([None, None] if bare else []), True)

    grad = torch.randn_like(inputs[0])
    found = differentiate(run(adapter), [tensor.float() for tensor in inputs], grad)
    assert_close(found, differentiate(run(reference), inputs, grad))


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize("indexed", [False, True])
def test_images_with_all_gradients(indexed: bool) -> None:
    tensors, grad = image_case(2, 2, 3, 5, 6, 3, 2, 4)
    inputs = [*tensors, torch.randn(2, 15, 3, dtype=torch.float64)]
    paths: Paths = permutations(2, 2, 4, 15) if indexed else CROSS_SCAN

    def run(backend: Any) -> Callable[[list[Tensor]], Tensor]:
        return lambda leaves: backend.scan_2d(*leaves[:6], paths, leaves[6])

    found = differentiate(run(adapter), [tensor.float() for tensor in inputs], grad)
    assert_close(found, differentiate(run(reference), inputs, grad))


@pytest.mark.usefixtures("_stand_in")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_passed_on(dtype: torch.dtype) -> None:
    low = [tensor.to(dtype) for tensor in sequence_case(3, 1, 1, 4, 9, 2)]
    low[1] = low[1].float()  # the extension wants one type, which the adapter sees to
    y = adapter.selective_scan(*low, True)
    assert y.dtype == dtype
    assert_close([y], [reference.selective_scan(*(tensor.double() for tensor in low), True)], tolerance=2e-2)


@pytest.mark.usefixtures("_stand_in")
def test_too_many_states_are_refused() -> None:
    with pytest.raises(BackendError, match="up to 256 states, not 257"):
        adapter.selective_scan(*(tensor.float() for tensor in sequence_case(1, 1, 1, 1, 2, 257)), True)


def test_its_place_among_the_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, adapter.EXTENSION, None)
    adapter._available.cache_clear()
    usable, reason = adapter.available()
    adapter._available.cache_clear()
    assert not usable
    assert "selective_scan_cuda cannot be imported" in reason
    names = [backend.name for backend in dispatch.BACKENDS]
    assert names.index("triton") < names.index("mamba_ssm") < names.index("chunked")
