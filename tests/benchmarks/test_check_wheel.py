"""What the check of a wheel says of a library of this machine, and of wheels that lack some."""

import platform
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.check_wheel import check
from mambair_kernels.cpu import native


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64" or "v3" not in native.built(),
    reason="needs a library for Linux on x86-64",
)
@pytest.mark.parametrize("suffix", ["x86_64", "aarch64"])
def test_foreign_libraries_and_processors_are_named(tmp_path: Path, suffix: str) -> None:
    wheel = tmp_path / f"mambair-0-py3-none-manylinux_2_28_{suffix}.whl"
    name = "v3" if suffix == "x86_64" else "generic"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(native.FOLDER / "_cpu_v3.so", f"mambair_kernels/cpu/_cpu_{name}.so")
    told = "\n".join(check(wheel))
    assert f"_cpu_{name}.so links libgomp.so.1" in told
    assert ("for another processor" in told) == (suffix == "aarch64")
    assert ("_cpu_v4.so is missing" in told) == (suffix == "x86_64")
    assert "does not export" not in told
