"""The CUDA program that benchmarks.gpu compares with, run by threads of a processor, against the float64 reference."""

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import cuda_port
from mambair_kernels import CROSS_SCAN, reference

COMPILER = shutil.which("c++")
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    library = tmp_path_factory.mktemp("port") / "port.so"
    options = ["-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", "-w", f'-DSOURCE="{cuda_port.SOURCE}"']
    subprocess.run([COMPILER, *options, str(HERE / "cuda_port.cpp"), "-o", str(library)], check=True)
    run = ctypes.CDLL(str(library)).run

    def launched(grid: tuple[int, int, int], block: tuple[int, int, int], args: list[Any]) -> None:
        assert block == (cuda_port.THREADS, 1, 1)
        tensors, sizes = args[:8], args[8:]
        run(*(ctypes.c_void_p(each.data_ptr()) for each in tensors), *sizes, grid[1])

    return launched


def test_sequences_longer_than_a_chunk(launch: Callable[..., None]) -> None:
    torch.manual_seed(0)
    u, delta = torch.randn(1, 4, 1100), torch.randn(1, 4, 1100)
    A, B, C = -torch.rand(4, 3), torch.randn(1, 2, 3, 1100), torch.randn(1, 2, 3, 1100)
    D, bias = torch.randn(4), torch.randn(4)
    found = cuda_port.selective_scan(u, delta, A, B, C, D, bias, launch)
    doubles = [each.double() for each in (u, delta, A, B, C, D, bias)]
    exact: Callable[..., Tensor] = reference.selective_scan
    expected = exact(*doubles, delta_softplus=True)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def test_images(launch: Callable[..., None]) -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 5, 7, 2)
    shapes = ((4, 2 + 2 * 3, 2), (4, 2, 2), (4, 2), (8, 3), (8,))
    weights = [torch.randn(shape) for shape in shapes]
    port: Callable[..., Tensor] = cuda_port.scan_2d
    exact: Callable[..., Tensor] = reference.scan_2d
    found = port(x, *weights, launch=launch)
    expected = exact(x.double(), *(each.double() for each in weights), CROSS_SCAN, None)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5 * float(expected.abs().max()))
