"""Compilation by NVRTC, once for all processes, and loading by a driver that notes what it is given."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mambair_kernels import kept
from mambair_kernels.cuda import driver
from mambair_kernels.cuda import launch as cuda_launch

SOURCE = 'extern "C" __global__ void twice(float* x) { x[threadIdx.x] *= 2; }'


class Driver:
    """Of a card that is not there."""

    def __init__(self) -> None:
        self.loaded: list[bytes] = []

    def cuModuleLoadData(self, module: Any, code: bytes) -> int:
        self.loaded.append(code)
        return 0


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Architectures of the programs that NVRTC has compiled."""
    monkeypatch.setattr(torch.version, "cuda", torch.version.cuda or "13.0")
    driver.library.cache_clear()
    try:
        driver.library()
    except OSError:
        pytest.skip("NVRTC is not installed")
    compiled, made = driver.compiled, []

    def noting(source: str, architecture: str) -> bytes:
        made.append(architecture)
        return compiled(source, architecture)

    monkeypatch.setattr(driver, "compiled", noting)
    return made


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bytes]:
    """Programs that a card of compute capability 9.0 was given, with an empty cache."""
    given = Driver()
    monkeypatch.setattr(driver, "_driver", lambda: given)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setenv("MAMBAIR_CACHE", str(tmp_path))
    return given.loaded


def test_a_program_is_compiled_once(
    compilations: list[str], loaded: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        driver.load(SOURCE)
    assert compilations == ["sm_90"]
    assert loaded[0] == loaded[1]
    assert b"twice" in loaded[0]
    assert loaded[0].startswith(b"\x7fELF")
    driver.load(SOURCE.replace("2", "3"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    driver.load(SOURCE)
    monkeypatch.setattr(driver, "compiler_version", lambda: "99.9")
    driver.load(SOURCE)
    assert compilations == ["sm_90", "sm_90", "sm_80", "sm_80"]


def test_a_damaged_one_is_compiled_again(compilations: list[str], loaded: list[bytes]) -> None:
    driver.load(SOURCE)
    (path,) = kept.folder().iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        driver.load(SOURCE)
    assert len(compilations) == 2
    assert loaded[0] == loaded[1] == loaded[2]


def test_without_a_place_it_is_compiled_each_time(
    compilations: list[str], loaded: list[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MAMBAIR_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        driver.load(SOURCE)
    assert len(compilations) == len(loaded) == 2


@pytest.mark.usefixtures("compilations")
def test_the_scan_compiles_for_cards_that_are_not_here() -> None:
    shape = cuda_launch.Shape(10, 4, 8, 9, 2, 16, 0, 0, 1, 1)
    for architecture in ("sm_80", "sm_90"):
        assert b"outputs" in driver.compiled(cuda_launch.program(shape), architecture)
    with pytest.raises(driver.CompilationError, match="STATES"):
        driver.compiled(cuda_launch.SOURCE.read_text(), "sm_90")


def test_what_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    driver.library.cache_clear()
    monkeypatch.setattr(torch.version, "cuda", "1.0")
    with pytest.raises(OSError, match="NVRTC, which comes with torch for CUDA, is not there"):
        driver.library()
