"""The library on our own threads, in place of OpenMP's, makes of recorded calls what the library in use made of them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import replay
from mambair_kernels.cpu import native

COMPILER = shutil.which("c++")
SOURCES = Path(__file__).parents[2] / "kernels" / "csrc"

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler"),
    pytest.mark.skipif("v2" not in native.built(), reason="there is no library for SSE4.2"),
]


def compiled(to: Path, *flags: str) -> Path:
    assert COMPILER
    options = ["-std=c++17", "-O1", "-ffp-contract=fast", "-shared", "-fPIC", "-march=x86-64-v2", "-w", *flags]
    subprocess.run([COMPILER, *options, str(SOURCES / "mambair_cpu.cpp"), "-o", str(to)], check=True)
    return to


def test_own_threads_make_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, "v2")
    made = replay.record(tmp_path / "calls", whole=False)
    done = replay.run(compiled(tmp_path / "own.so", "-pthread"), tmp_path / "calls")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = [int(found) for found in re.findall(r"(\d+) calls", done.stdout)]
    assert sum(counts) == made > 0

    wrong = compiled(tmp_path / "wrong.so", "-pthread", "-DLOG2_E=1.44f", "-Dconstexpr_LOG2")
    assert replay.run(wrong, tmp_path / "calls").returncode == 1
