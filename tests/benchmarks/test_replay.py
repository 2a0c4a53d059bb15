"""The library on our own threads, not OpenMP's, makes of recorded calls what the library in use made of them."""

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


def compiled(sources: Path, to: Path) -> Path:
    assert COMPILER
    options = ["-std=c++17", "-O1", "-ffp-contract=fast", "-shared", "-fPIC", "-march=x86-64-v2", "-pthread", "-w"]
    subprocess.run([COMPILER, *options, str(sources / "mambair_cpu.cpp"), "-o", str(to)], check=True)
    return to


def test_own_threads_make_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, "v2")
    made = replay.record(tmp_path / "calls", whole=False)
    done = replay.run(compiled(SOURCES, tmp_path / "own.so"), tmp_path / "calls")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(int(found) for found in re.findall(r"(\d+) calls", done.stdout)) == made > 0

    wrong = tmp_path / "wrong"
    shutil.copytree(SOURCES, wrong)
    text = (wrong / "math.h").read_text()
    (wrong / "math.h").write_text(text.replace("2.4022282660007477e-1f", "2.4e-1f"))
    assert (wrong / "math.h").read_text() != text
    assert replay.run(compiled(wrong, tmp_path / "wrong.so"), tmp_path / "calls").returncode == 1
