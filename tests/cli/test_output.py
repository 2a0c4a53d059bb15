"""A standard output that takes nothing, or not every letter, costs no result."""

import functools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mambair_cli.restoration import picture as stages
from tests.cli.run import run

NAMES = ["eins.png", "zw\u00f6lf_\u753b.png"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x2: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        Path(name).write_bytes(cv2.imencode(".png", np.zeros((5, 6, 3), np.uint8))[1].tobytes())


def upscale(x2: Path, redirection: str, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in a shell, which can close and redirect what Python cannot."""
    command = [sys.executable, "-m", "mambair_cli.entry", "upscale", *NAMES, "--model", str(x2), "-q", *flags]
    shell = ["bash", "-o", "pipefail", "-c", f'"$@" {redirection}', "bash"]
    settings = os.environ | environment
    return subprocess.run([*shell, *command], capture_output=True, text=True, check=False, env=settings)


@pytest.mark.parametrize("redirection", [">&-", "> /dev/full", "| true", "2>&1 >&- | cat >&2"])
def test_the_work_goes_on_and_the_loss_is_said(redirection: str, x2: Path) -> None:
    result = upscale(x2, redirection)
    assert result.returncode == 1
    assert all(Path(name).with_stem(f"{Path(name).stem}_x2").exists() for name in NAMES)
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Warning: results cannot be printed any more (")


def test_nobody_listens_at_all(x2: Path) -> None:
    result = upscale(x2, ">&- 2>&-")
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")
    assert all(Path(name).with_stem(f"{Path(name).stem}_x2").exists() for name in NAMES)


@pytest.mark.skipif(os.name == "nt", reason="bash closes the streams")
def test_no_file_takes_the_place_of_a_closed_stream() -> None:
    code = (
        "from mambair_cli.entry import fill_closed_streams; import os; fill_closed_streams(); "
        "number = os.open(os.devnull, os.O_RDONLY); os._exit(number)"
    )
    closed = subprocess.run(["bash", "-c", '"$@" <&- >&- 2>&-', "bash", sys.executable, "-c", code], check=False)
    assert closed.returncode == 3


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_without_these_letters(encoding: str, x2: Path) -> None:
    result = upscale(x2, "| iconv -f latin1 -t utf8", PYTHONIOENCODING=encoding)
    assert result.returncode == 0, result.stderr
    letter = "\u00f6" if encoding == "latin-1" else "\\xf6"
    assert result.stdout.splitlines() == ["eins_x2.png", f"zw{letter}lf_\\u753b_x2.png"]
    again = upscale(x2, "", "--json", "--overwrite", PYTHONIOENCODING=encoding)
    assert [json.loads(line)["input"] for line in again.stdout.splitlines()] == NAMES


def test_a_bar_on_the_terminal_is_in_nobodys_way(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that come while a bar is shown go where they belong, on lines of their own."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # Rich takes any stream for a terminal
    network = stages.restore  # type: ignore[attr-defined]

    @functools.wraps(network)
    def slow(*arguments: Any, progress: Any, **options: Any) -> Any:
        restored = network(*arguments, progress=progress, **options)
        for _ in range(20):
            time.sleep(0.01)
            progress(1, 1)
        return restored

    monkeypatch.setattr(stages, "restore", slow)
    outcome = run("upscale", *NAMES, "--model", str(x2))
    assert outcome.out.splitlines() == ["eins_x2.png", "zw\u00f6lf_\u753b_x2.png"]
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", outcome.err)
    assert "1/2 eins.png" in plain
    for name in NAMES:
        assert re.search(rf"^(\r)*{name} \(6 x 5\) in .* s with", plain, re.MULTILINE), plain
