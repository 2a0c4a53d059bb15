"""The Triton backend under Triton's interpreter against the float64 reference, and its compilation for real cards."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mambair_kernels
from mambair_kernels import CROSS_SCAN, BackendError, dispatch
from mambair_kernels.operations import ImageScan
from mambair_kernels.paths import Paths
from mambair_kernels.triton import launch as triton_launch
from mambair_kernels.triton import launching
from mambair_kernels.triton import scan as triton_scan
from mambair_kernels.triton.job import Tuning
from tests.kernels.test_cpu import ROOT, assert_close, differentiate, image_case, permutations, sequence_case
from tests.kernels.triton.interpreter import interpreting

# Arguments travel as lists here, which a type checker cannot count.
triton: Any = triton_scan
reference: Any = mambair_kernels.reference
CPU = torch.device("cpu")
SPLIT = Tuning(tile=2, block_sizes=(4,), programs=16, tiles=2)


@pytest.fixture(autouse=True)
def _interpreted() -> Iterator[None]:
    with interpreting():
        yield


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tiles and chunks, so that small cases have several of each."""
    monkeypatch.setattr(triton_launch, "INTERPRETED", SPLIT)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fresh memory is NaN: what a kernel leaves unwritten, or reads before writing, shows."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


def runner(paths: Paths, biased: bool) -> Callable[[Any], Callable[[list[Tensor]], Tensor]]:
    """A function of a backend that gives a function of the differentiable inputs."""
    return lambda backend: lambda leaves: backend.scan_2d(*leaves[:6], paths, leaves[6] if biased else None)


def check(
    tensors: list[Tensor], grad: Tensor, paths: Paths, c_bias: Tensor | None = None, backend: Any = triton
) -> None:
    """Output and all gradients in float32 against the reference in float64."""
    inputs = tensors if c_bias is None else [*tensors, c_bias]
    run = runner(paths, c_bias is not None)
    found = differentiate(run(backend), [tensor.float() for tensor in inputs], grad)
    assert_close(found, differentiate(run(reference), inputs, grad))


# Sizes: batch, height, width, channels, d_state, rank, paths.
@pytest.mark.usefixtures("split", "poisoned")
@pytest.mark.parametrize("size", [(1, 3, 5, 7, 2, 2, 4), (2, 2, 5, 4, 3, 1, 2), (1, 1, 1, 1, 1, 1, 4)])
def test_image_with_several_chunks_tiles_and_blocks(size: tuple[int, int, int, int, int, int, int]) -> None:
    check(*image_case(1, *size), CROSS_SCAN[: size[-1]])


@pytest.mark.usefixtures("split")
def test_the_cases_are_split() -> None:
    tensors = (tensor.float() for tensor in image_case(1, 1, 3, 5, 7, 2, 2, 4)[0])
    job = triton._image(ImageScan._make([*tensors, None, None, [0, 1, 2, 3]]))
    assert (job.blocks, job.chunks, job.span // SPLIT.tile, job.length % SPLIT.tile) == (2, 2, 4, 1)


@pytest.mark.usefixtures("split", "poisoned")
def test_paths_follow_one_another_where_an_output_for_each_takes_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_launch, "ROOM", 0)
    check(*image_case(1, 1, 2, 3, 5, 2, 1, 3), CROSS_SCAN[:3])


@pytest.mark.usefixtures("split", "poisoned")
def test_index_paths_with_a_prompt_on_c() -> None:
    tensors, grad = image_case(2, 2, 3, 4, 5, 2, 1, 1)
    c_bias = torch.randn(2, 12, 2, dtype=torch.float64)
    check(tensors, grad, permutations(2, 2, 1, 12), c_bias)


def test_static_paths_with_a_prompt_on_c() -> None:
    tensors, grad = image_case(3, 1, 2, 3, 4, 2, 1, 3)
    check(tensors, grad, CROSS_SCAN[:3], torch.randn(1, 6, 2, dtype=torch.float64))


def test_more_paths_than_fit_into_an_integer() -> None:
    tensors, grad = image_case(4, 1, 1, 2, 1, 1, 1, 17)
    check(tensors, grad, (*CROSS_SCAN * 4, CROSS_SCAN[2]))


@pytest.mark.usefixtures("split", "poisoned")
@pytest.mark.parametrize("bare", [False, True])
def test_sequences(bare: bool) -> None:
    *tensors, D, delta_bias = sequence_case(5, 1, 2, 3, 19, 2)
    if bare:
        tensors[1] = tensors[1].abs() / 10
    inputs = tensors if bare else [*tensors, D, delta_bias]

    def run(backend: Any) -> Callable[[list[Tensor]], Tensor]:
        return lambda leaves: backend.selective_scan(*leaves, *([None, None] if bare else []), not bare)

    grad = torch.randn_like(tensors[0])
    found = differentiate(run(triton), [tensor.float() for tensor in inputs], grad)
    assert_close(found, differentiate(run(reference), inputs, grad))


def test_the_interpreters_own_scan_agrees() -> None:
    with interpreting(fast=False):
        check(*image_case(6, 1, 1, 3, 2, 1, 1, 2), CROSS_SCAN[:2])


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_input_keeps_a_float32_state(dtype: torch.dtype) -> None:
    tensors, grad = image_case(7, 1, 2, 12, 3, 2, 1, 2)
    low = [tensor.to(dtype) for tensor in tensors]
    run = runner(CROSS_SCAN[:2], False)
    found = differentiate(run(triton), low, grad)
    assert all(each.dtype == dtype for each in found)
    assert_close(found, differentiate(run(reference), [tensor.double() for tensor in low], grad), tolerance=2e-2)
    *rest, _, _ = (tensor.to(dtype) for tensor in sequence_case(8, 1, 1, 3, 9, 2))
    y = triton.selective_scan(*rest, None, None, True)
    exact = reference.selective_scan(*(tensor.double() for tensor in rest), None, None, True)
    assert y.dtype == dtype
    assert_close([y], [exact], tolerance=1e-2)


@pytest.mark.parametrize("magnitude", [40.0, 1e4])
def test_large_steps_and_decay_stay_finite(magnitude: float) -> None:
    tensors, grad = image_case(9, 1, 2, 3, 4, 2, 1, 2)
    tensors[3], tensors[4] = tensors[3] * magnitude, tensors[4] * magnitude
    results = differentiate(runner(CROSS_SCAN[:2], False)(triton), [tensor.float() for tensor in tensors], grad)
    assert all(result.isfinite().all() for result in results[:5])


@pytest.mark.parametrize("x", [-80.0, -20.0, -7.0, -1e-3, 0.0, 0.3, 5.0, 30.0, 1e4])
def test_step_sizes_have_full_relative_accuracy(x: float) -> None:
    """One step from a zero state with u = B = C = 1 puts out the step size itself, and its slope is the gradient."""
    one, raw = torch.ones(1, 1, 1), torch.full((1, 1, 1), x, requires_grad=True)
    y = triton.selective_scan(one, raw, -torch.ones(1, 1), one[None], one[None], None, None, True)
    y.backward()
    exact = torch.nn.functional.softplus(torch.tensor(x, dtype=torch.float64))
    assert y.item() == pytest.approx(exact.item(), rel=1e-6)
    assert raw.grad is not None
    assert raw.grad.item() == pytest.approx(torch.tensor(x).double().sigmoid().item(), rel=1e-6)


@pytest.mark.parametrize("bad", [-1, 3, 12])
def test_paths_that_are_no_permutation_are_refused(bad: int) -> None:
    tensors, _ = image_case(1, 1, 3, 4, 5, 2, 1, 1)
    paths = torch.arange(12).view(1, 1, 12).clone()
    paths[0, 0, 7] = bad
    with pytest.raises(ValueError, match="0 to 11 once each"):
        triton.scan_2d(*(tensor.float() for tensor in tensors), paths, None)


def test_it_runs_on_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = next(row for row in dispatch.verdicts(CPU) if row.name == "triton")
    assert verdict.usable
    assert not verdict.chosen
    assert "interpreter" in verdict.reason
    monkeypatch.setenv(dispatch.VARIABLE, "triton")
    assert dispatch.select(CPU).name == "triton"
    with pytest.raises(BackendError, match="needs a tensor on cpu, not on cuda"):
        dispatch.select(torch.device("cuda"))


@pytest.fixture
def compiled() -> Iterator[pytest.MonkeyPatch]:
    """No interpreter, and no memory of what was found before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(triton_scan.INTERPRET)
        triton_scan._available.cache_clear()
        yield patch
    triton_scan._available.cache_clear()


class Driver:
    """Of a card that is not there."""

    @staticmethod
    def get_current_target() -> None: ...

    @staticmethod
    def get_active_torch_device() -> str:
        return "meta"


def test_without_triton_it_says_so(compiled: pytest.MonkeyPatch) -> None:
    compiled.setitem(sys.modules, "triton", None)
    usable, reason = triton_scan.available()
    assert not usable
    assert "cannot be imported" in reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
@pytest.mark.usefixtures("compiled")
def test_without_a_card_it_says_so() -> None:
    usable, reason = triton_scan.available()
    assert not usable
    assert "finds no GPU" in reason


def test_kernels_that_do_not_compile_are_passed_over(compiled: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("Failed to find C compiler")

    compiled.setattr(importlib.import_module("triton").runtime.driver, "_active", Driver())
    compiled.setattr(triton_scan, "_deviation", fail)
    usable, reason = triton_scan.available()
    assert not usable
    assert "cannot compile here: RuntimeError: Failed to find C compiler" in reason
    assert dispatch.select(torch.device("cuda")).name == "chunked"

    triton_scan._available.cache_clear()
    compiled.setattr(triton_scan, "_deviation", lambda *_: 0.25)
    assert "computes wrongly here, by 0.2 of the largest entry" in triton_scan.available()[1]
    assert dispatch.select(torch.device("cuda")).name == "chunked"


def test_where_triton_cannot_write_it_writes_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    knobs = importlib.import_module("triton").knobs.cache
    (tmp_path / "file").touch()
    for place, found in (("folder", False), ("file", True)):
        monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / place / "cache"))
        launching.find_room.cache_clear()
        with knobs.scope():
            folder = launching.find_room()
            assert (folder is not None) == found
            if folder is not None:
                assert knobs.dir == folder.name
                Path(folder.name, "kernel").touch()
                folder.cleanup()
    launching.find_room.cache_clear()


@pytest.mark.usefixtures("split")
def test_what_decides_whether_to_trust_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    small = (2, 5, 5)
    assert triton_scan._deviation(CPU, triton_scan.PASSES, size=small) < 1e-5
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert triton_scan._deviation(CPU, triton_scan.PASSES, size=small) < 1e-5
    passes = triton_scan.PASSES
    broken = passes._replace(image_gradients=lambda grad, given: (2 * grad, *passes.image_gradients(grad, given)[1:]))
    assert triton_scan._deviation(CPU, broken, size=small) >= 1
    assert triton_scan._deviation(CPU, broken, gradients=False, size=small) < 1e-5
    monkeypatch.setattr(triton_launch, "forward", lambda job, merge: torch.zeros_like(job.u))
    assert triton_scan._deviation(CPU, triton_scan.PASSES, gradients=False, size=small) >= 1


def test_gradients_count_where_there_may_be_some(compiled: pytest.MonkeyPatch) -> None:
    compiled.setattr(importlib.import_module("triton").runtime.driver, "_active", Driver())
    compiled.setattr(triton_scan, "_deviation", lambda device, passes, gradients: 0.25 if gradients else 1e-6)
    with torch.inference_mode():
        assert dispatch.select(torch.device("cuda")).name == "triton"
    assert "computes wrongly here" in triton_scan.available()[1]
    assert dispatch.select(torch.device("cuda")).name == "chunked"


def test_kernels_compile_for_a_card_that_is_not_here() -> None:
    """In a process of its own, because this one has chosen the interpreter."""
    environment = {key: value for key, value in os.environ.items() if key != triton_scan.INTERPRET}
    command = [sys.executable, "-m", "tests.kernels.triton.compile_kernels", "cuda", "80", "32"]
    outcome = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    rows = [line.split() for line in outcome.stdout.splitlines()]
    assert [name for name, *_ in rows] == ["summarise", "carry", "outputs", "merge", "summarise", "gradients"]
    assert all(0 < int(registers) <= 255 and int(spilled) < 256 for _, registers, spilled, *_ in rows)
