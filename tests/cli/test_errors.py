"""Every wrong input ends with exit code 1 or 2, one sentence what, one sentence what to do, and leaves nothing."""

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mambair_cli.restoration import picture as stages
from mambair_cli.weights import loader
from tests.cli.run import Outcome, run


class RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("code-ran",)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x2: Path, x1: Path) -> Iterator[None]:
    """A working folder with good and bad files."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    cv2.imwrite("good.png", pixels)
    data = Path("good.png").read_bytes()
    Path("truncated.png").write_bytes(data[: len(data) // 2])
    Path("text.png").write_text("not a picture\n" * 50)
    Path("empty.png").write_bytes(b"")
    Path("good.xyz").write_bytes(data)
    Path("file").write_text("not a folder")
    Path("nothing").mkdir()
    Path("taken.png").write_bytes(b"mine")
    Path("x2.pth").write_bytes(x2.read_bytes())
    Path("x1.pth").write_bytes(x1.read_bytes())
    Path("short.pth").write_bytes(x2.read_bytes()[:5000])
    Path("page.pth").write_text("<!DOCTYPE html><html><title>Google Drive - Quota exceeded</title></html>")
    torch.save({"params": RunsCode()}, "evil.pth")
    Path("plain-evil.pth").write_bytes(pickle.dumps(RunsCode(), protocol=2))
    before = {path: path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}
    yield
    after = {path: path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}
    assert after == before


UP = ["upscale", "good.png", "--model", "x2.pth"]
CASES: dict[str, tuple[list[str], int, str]] = {
    "missing file": (["upscale", "none.png", "--model", "x2.pth"], 1, "none.png does not exist"),
    "text named png": (["upscale", "text.png", "--model", "x2.pth"], 1, "text.png is not an image"),
    "truncated png": (["upscale", "truncated.png", "--model", "x2.pth"], 1, "truncated.png is damaged or truncated"),
    "empty file": (["upscale", "empty.png", "--model", "x2.pth"], 1, "empty.png is empty"),
    "unknown input suffix": (["upscale", "good.xyz", "--model", "x2.pth"], 1, "good.xyz has no suffix"),
    "unknown output suffix": ([*UP, "-o", "out.xyz"], 2, "out.xyz has no suffix"),
    "output folder is a file": ([*UP, "-o", "file/out.png"], 1, "file/out.png cannot be written"),
    "output folder is read-only": ([*UP, "-o", "/proc/out.png"], 1, "/proc/out.png cannot be written"),
    "output equals input": ([*UP, "-o", "good.png", "--overwrite"], 2, "good.png is also an input"),
    "output equals input by another name": ([*UP, "-o", "./nothing/../good.png"], 2, "is also an input"),
    "output folder is a file and may be replaced": (
        [*UP, "-o", "file/out.png", "--overwrite"],
        1,
        "file/out.png cannot be written",
    ),
    "output without a name": ([*UP, "-o", ""], 2, "An output without a name"),
    "input without a name": (["upscale", "", "--model", "x2.pth"], 2, "An input without a name"),
    "width beyond all formats": ([*UP, "--width", "1" + 20 * "0"], 1, "pixels are more than the 1000000 of .png"),
    "result beyond all formats": ([*UP, "--height", "1000001", "-o", "a.tif"], 1, "are more than the 1000000 of .tif"),
    "output exists": ([*UP, "-o", "taken.png"], 1, "taken.png exists already"),
    "model for another scale": ([*UP, "--scale", "4"], 2, "enlarges 2 times, not 4 times"),
    "scale 5 with a model": ([*UP, "--scale", "5"], 2, "enlarges 2 times, not 5 times"),
    "scale 5": (["upscale", "good.png", "--scale", "5"], 2, "No known model enlarges 5 times"),
    "model for another task": (["denoise", "good.png", "--model", "x2.pth"], 2, "is for upscale, not for denoise"),
    "restoring model to enlarge": (["upscale", "good.png", "--model", "x1.pth"], 2, "not for upscale"),
    "known model not there": (["denoise", "good.png", "--model", "mambair-denoise-25"], 1, "has not been downloaded"),
    "model without a name": (["upscale", "good.png", "--model", ""], 1, "A model without a name"),
    "missing model": (["upscale", "good.png", "--model", "none.pth"], 1, "none.pth does not exist"),
    "truncated model": (["upscale", "good.png", "--model", "short.pth"], 1, "short.pth is damaged or truncated"),
    "web page as model": (["upscale", "good.png", "--model", "page.pth"], 1, "page.pth is a web page"),
    "model that runs code": (["upscale", "good.png", "--model", "evil.pth"], 1, "could run any code"),
    "pickle that runs code": (["upscale", "good.png", "--model", "plain-evil.pth"], 1, "could run any code"),
    "negative tile": ([*UP, "--tile", "-1"], 2, "cannot be negative"),
    "negative overlap": ([*UP, "--overlap", "-1"], 2, "cannot be negative"),
    "overlap equals tile": ([*UP, "--tile", "16", "--overlap", "16"], 2, "leaves nothing of a tile of 16"),
    "no such device": ([*UP, "--device", "cuda:77"], 1, "cuda:77 is not available"),
    "empty folder": (["upscale", "nothing", "--model", "x2.pth"], 1, "nothing holds no image"),
    "pattern without match": (["upscale", "*.gif", "--model", "x2.pth"], 1, r"Nothing matches *.gif"),
    "two inputs, one output": (["upscale", "good.png", "good.png", "--model", "x2.pth"], 2, "both be written to"),
    "show what is no model": (["models", "show", "text.png"], 1, "not a file of weights"),
    "unknown backend": (UP, 2, "is not a scan backend"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_what_and_one_what_to_do(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, code, message = CASES[case]
    if case == "unknown backend":
        monkeypatch.setenv("MAMBAIR_SCAN_BACKEND", "abacus")
    outcome = run(*arguments)
    assert outcome.code == code
    assert outcome.out == ""
    assert message in outcome.err
    assert "Traceback" not in outcome.err
    assert "unexpected" not in outcome.err
    lines = [line for line in outcome.err.splitlines() if line]
    assert len(lines) == 2, outcome.err
    assert lines[0].startswith("Error: ")
    assert lines[0].endswith(".")
    assert lines[1].startswith("Hint: ")
    assert lines[1].endswith(".")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_without_a_card() -> None:
    outcome = run(*UP, "--device", "cuda")
    assert (outcome.code, outcome.out) == (1, "")
    assert "The device cuda is not available here." in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [["upscal", "good.png"], ["upscale"], ["upscale", "good.png", "--tiel", "3"], ["upscale", "a", "--tile", "x"]],
)
def test_a_mistyped_command_line_is_usage(arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


def test_a_mistyped_command_gets_a_suggestion() -> None:
    assert "upscale" in run("upscal", "good.png").err
    assert "--tile" in run(*UP, "--tiel", "3").err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_nothing(number: signal.Signals, code: int, x2: Path) -> None:
    program = """
import sys, time
from mambair_archs import MambaIR
def forward(network, x):
    print("working", file=sys.stderr, flush=True)
    time.sleep(60)
MambaIR.forward = forward
from mambair_cli.entry import main
main()
"""
    command = [sys.executable, "-c", program, *UP, "-o", "new/out.png", "--overwrite"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "working\n"
        assert list(Path("new").iterdir()), "the output is not reserved while the network works"
        process.send_signal(number)
        assert process.wait(30) == code
        assert process.stderr.read() == "Warning: interrupted; files written so far are complete.\n"


@pytest.mark.parametrize("kind", ["import", "file"])
def test_an_interruption_that_became_another_error_is_still_one(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when numpy is interrupted while it loads."""

    def broken(*arguments: Any, **options: Any) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("numpy cannot be loaded") from None

    place = (loader, "load") if kind == "import" else (stages, "restore")
    monkeypatch.setattr(*place, broken)
    outcome = run(*UP)
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.endswith("Warning: interrupted; files written so far are complete.\n")


def test_an_interruption_of_the_start_is_quiet() -> None:
    program = """
import signal, sys
class Interrupter:
    def find_spec(self, name, *rest):
        if name == "typer":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupter())
from mambair_cli.entry import main
main()
"""
    result = subprocess.run([sys.executable, "-c", program, "doctor"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ZeroDivisionError("a bug"), "Restoring good.png ended in an unexpected ZeroDivisionError: a bug."),
        (MemoryError(), "Restoring good.png takes more memory than there is."),
    ],
)
def test_whatever_happens_to_one_file_is_its_error(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(stages, "restore", broken)
    outcome = run(*UP, "none.png", "--json")
    assert outcome.code == 1
    assert [json.loads(line)["error"] for line in outcome.out.splitlines()] == [message, "none.png does not exist."]
    assert f"Error: {message}" in outcome.err
    assert "2 of 2 files failed" in outcome.err
    assert "Traceback" not in outcome.err
    loud = run(*UP, "none.png", "--verbose").err
    assert type(error).__name__ in loud
    assert loud.count("Traceback (most recent call last)") == 3  # both files, and the command


def test_an_unexpected_error_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError("a bug\nin two lines")

    monkeypatch.setattr(loader, "load", broken)
    outcome: Outcome = run(*UP)
    assert outcome.code == 1
    assert "The command ended in an unexpected ZeroDivisionError: a bug." in outcome.err
    assert "--verbose" in outcome.err
    assert "Traceback" not in outcome.err
    assert "Traceback" in run(*UP, "--verbose").err
