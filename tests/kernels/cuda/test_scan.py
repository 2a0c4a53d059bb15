"""The CUDA backend, its program run by threads of a processor, against the float64 reference."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mambair_kernels
from mambair_kernels import CROSS_SCAN, dispatch
from mambair_kernels.cuda import driver
from mambair_kernels.cuda import launch as cuda_launch
from mambair_kernels.cuda import scan as cuda_scan
from mambair_kernels.operations import ImageScan
from mambair_kernels.paths import Paths
from mambair_kernels.triton import scan as triton_scan
from tests.kernels.test_cpu import assert_close, differentiate, image_case, permutations
from tests.kernels.triton.interpreter import interpreting

COMPILER = shutil.which("c++")
HERE = Path(__file__).parent
# Arguments travel as lists here, which a type checker cannot count.
cuda: Any = cuda_scan
reference: Any = mambair_kernels.reference


@pytest.fixture(scope="module")
def compile_program(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("programs")

    @cache
    def compile_for(shape: cuda_launch.Shape) -> ctypes.CDLL:
        name = "_".join(str(value) for value in vars(shape).values())
        program, library = folder / f"{name}.cu", folder / f"{name}.so"
        program.write_text(cuda_launch.program(shape))
        options = ["-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", "-w", f'-DSOURCE="{program}"']
        subprocess.run([COMPILER, *options, str(HERE / "block.cpp"), "-o", str(library)], check=True)
        return ctypes.CDLL(str(library))

    return compile_for


@pytest.fixture(autouse=True)
def _on_a_processor(compile_program: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A card of one multiprocessor that is given few chunks."""

    def compiled(kernel: str, shape: cuda_launch.Shape, device: torch.device) -> Callable[..., None]:
        run = getattr(compile_program(shape), f"launch_{kernel}")

        def launched(grid: driver.Sizes, block: driver.Sizes, tensors: Sequence[Tensor], numbers: list[int]) -> None:
            assert all(each.is_contiguous() for each in tensors)
            pointers, _values = driver.packed(tensors, numbers)
            assert run(len(pointers), pointers, *grid, block[0]) == 0

        return launched

    monkeypatch.setattr(cuda_launch, "compiled", compiled)
    monkeypatch.setattr(cuda_launch, "multiprocessors", lambda device: 1)
    monkeypatch.setattr(cuda_launch, "TILE", 2)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)  # fresh memory is NaN
    with interpreting():
        yield
    torch.use_deterministic_algorithms(False)


def check(tensors: list[Tensor], paths: Paths, c_bias: Tensor | None = None, tolerance: float = 1e-5) -> None:
    """The output against the reference in float64."""
    with torch.inference_mode():
        found = cuda.scan_2d(*(tensor.float() for tensor in tensors), paths, None if c_bias is None else c_bias.float())
    assert_close([found], [reference.scan_2d(*(tensor.double() for tensor in tensors), paths, c_bias)], tolerance)


# Sizes: batch, height, width, channels, d_state, rank, paths. The first has rows of 8 numbers, which are copied by 16
# bytes, the second rows of 5; both have more channels than a warp and a last chunk that is not full.
@pytest.mark.parametrize("size", [(1, 5, 9, 11, 3, 2, 4), (2, 3, 5, 9, 2, 1, 2)])
def test_image_with_several_chunks_and_blocks(size: tuple[int, int, int, int, int, int, int]) -> None:
    tensors, _ = image_case(1, *size)
    check(tensors, CROSS_SCAN[: size[-1]])


@pytest.mark.parametrize("channels", [11, 27])
def test_sets_of_channels_in_narrow_and_in_wide_warps(monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    seen: list[tuple[cuda_launch.Shape, int, int]] = []
    cut = cuda_launch.cut

    def noting(inputs: ImageScan, together: int) -> tuple[cuda_launch.Shape, int, int]:
        seen.append(cut(inputs, together))
        return seen[-1]

    monkeypatch.setattr(cuda_launch, "cut", noting)
    for name in ("NARROW", "WIDE"):
        setting = replace(getattr(cuda_launch, name), warps=1, resident=2)
        monkeypatch.setattr(cuda_launch, name, setting)
    check(image_case(1, 1, 3, 5, channels, 3, 2, 1)[0], CROSS_SCAN[2:3])
    (shape, span, sets) = seen[0]
    assert (shape.LANES, sets) == ((8, 2) if channels == 11 else (32, 1))
    assert span < 15


@pytest.mark.parametrize(("channels", "state", "expected"), [(72, 10, (8, 3, 4, 3)), (360, 16, (32, 4, 4, 3))])
def test_published_networks_get_what_was_fastest(
    monkeypatch: pytest.MonkeyPatch, channels: int, state: int, expected: tuple[int, ...]
) -> None:
    """Lanes, warps of a block, blocks of a multiprocessor, sets of channels: those that docs/gpu.md has figures of."""
    monkeypatch.setattr(cuda_launch, "multiprocessors", lambda device: 132)
    x = torch.empty(1, 256, 256, channels)
    weights = torch.empty(4, 1, channels), torch.empty(4, channels, 4), x, torch.empty(4 * channels, state), x
    shape, _, sets = cuda_launch.cut(ImageScan._make([x, *weights, None, None, [0, 1, 2, 3]]), 4)
    assert (shape.LANES, shape.WARPS, shape.RESIDENT, sets) == expected


@pytest.mark.parametrize("size", [(1, 1, 1, 1, 1, 1, 4), (3, 2, 2, 9, 2, 1, 4)])
def test_one_pass_where_there_is_little_to_cut(size: tuple[int, int, int, int, int, int, int]) -> None:
    check(image_case(1, *size)[0], CROSS_SCAN)


def test_paths_follow_one_another_where_an_output_for_each_takes_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mambair_kernels.triton.launch.ROOM", 0)
    check(image_case(1, 1, 3, 5, 9, 2, 1, 3)[0], CROSS_SCAN[:3])


def test_index_paths_with_a_prompt_on_c() -> None:
    tensors, _ = image_case(2, 2, 3, 4, 5, 2, 1, 1)
    check(tensors, permutations(2, 2, 1, 12), torch.randn(2, 12, 2, dtype=torch.float64))


def test_bfloat16_keeps_a_float32_state() -> None:
    tensors, _ = image_case(7, 1, 3, 5, 9, 2, 1, 2)
    low = [tensors[0].bfloat16(), *(tensor.float() for tensor in tensors[1:])]
    with torch.inference_mode():
        found = cuda.scan_2d(*low, CROSS_SCAN[:2], None)
    exact = reference.scan_2d(*(tensor.double() for tensor in low), CROSS_SCAN[:2], None)
    assert found.dtype == torch.bfloat16
    assert_close([found], [exact], tolerance=1e-2)


@pytest.mark.parametrize("raw", [-80.0, -20.0, -7.0, -1e-3, 0.0, 0.3, 5.0, 30.0, 1e4])
def test_step_sizes_have_full_relative_accuracy(raw: float) -> None:
    """One step from a zero state with u = B = C = 1 and D = 0 puts out the step size itself."""
    one = torch.ones(1, 1, 1, 1)
    x_proj = torch.tensor([[[0.0], [1.0], [1.0]]])
    weights = [x_proj, torch.zeros(1, 1, 1), torch.full((1, 1), raw), torch.zeros(1, 1), torch.zeros(1)]
    y = cuda.scan_2d(one, *weights, CROSS_SCAN[:1], None)
    exact = torch.nn.functional.softplus(torch.tensor(raw, dtype=torch.float64))
    assert y.item() == pytest.approx(exact.item(), rel=1e-6)


def test_gradients_are_there() -> None:
    tensors, grad = image_case(1, 1, 3, 5, 9, 2, 1, 2)

    def run(backend: Any) -> Callable[[list[Tensor]], Tensor]:
        return lambda leaves: backend.scan_2d(*leaves, CROSS_SCAN[:2], None)

    found = differentiate(run(cuda), [tensor.float() for tensor in tensors], grad)
    assert_close(found, differentiate(run(reference), tensors, grad))


def test_what_decides_whether_to_trust_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    deviation: Any = triton_scan._deviation
    assert deviation(torch.device("cpu"), cuda_scan.PASSES, size=(2, 5, 5)) < 1e-5
    monkeypatch.setattr(cuda_launch, "add_up", lambda parts, out: out.zero_())
    assert deviation(torch.device("cpu"), cuda_scan.PASSES, size=(2, 5, 5)) >= 1


@pytest.mark.parametrize(("limit", "value"), [("LARGEST", 15 * 9), ("MAX_ROW", 4)])
def test_what_does_not_fit_is_tritons(monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(cuda_launch, limit, value)
    monkeypatch.setattr(cuda_launch, "scan", None)
    check(image_case(1, 1, 3, 5, 9, 2, 1, 1)[0], CROSS_SCAN[:1])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
def test_without_a_card_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = next(row for row in dispatch.verdicts(torch.device("cpu")) if row.name == "cuda")
    assert not verdict.usable
    assert "interpreter" in verdict.reason
    assert cuda_launch.missing() == "torch finds no CUDA device"
