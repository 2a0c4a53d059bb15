"""The loops over tasks, on threads of our own and on OpenMP's."""

import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("team.cpp")


@pytest.mark.skipif(shutil.which("c++") is None, reason="this machine has no C++ compiler")
@pytest.mark.parametrize("flags", [["-pthread"], ["-fopenmp"]], ids=["own", "openmp"])
def test_every_task_runs_once_and_in_its_share(flags: list[str], tmp_path: Path) -> None:
    command = ["c++", "-std=c++17", *flags, "-Wno-unknown-pragmas", str(PROGRAM), "-o", str(tmp_path / "team")]
    subprocess.run(command, check=True)
    outcome = subprocess.run([tmp_path / "team"], capture_output=True, text=True, timeout=60, check=False)
    assert (outcome.returncode, outcome.stdout) == (0, "")
