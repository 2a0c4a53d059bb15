"""What ``--verbose`` and ``--json`` tell of noise and compression."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.cli.run import run
from tests.data.pictures import natural

SAID = "JPEG quality of about 37, 4:2:0"


@pytest.fixture(autouse=True)
def _picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(natural(1, 40, 52)).save("a.jpg", quality=37)


@pytest.mark.parametrize("task", ["denoise", "dejpeg"])
def test_it_is_told_to_those_who_ask(task: str, x1: Path) -> None:
    plain = run(task, "a.jpg", "-o", "b.png", "--model", str(x1))
    asked = run(task, "a.jpg", "-o", "c.png", "--model", str(x1), "--verbose")
    assert (plain.code, asked.code) == (0, 0)
    assert SAID not in plain.err
    assert SAID in asked.err
    record = json.loads(run(task, "a.jpg", "-o", "d.png", "--model", str(x1), "--json").out)
    assert (record["estimate"]["quality"], record["estimate"]["sampling"]) == (37, "4:2:0")
    assert 0 <= record["estimate"]["noise"] < 10


def test_enlarging_needs_none(x2: Path) -> None:
    outcome = run("upscale", "a.jpg", "--model", str(x2), "--json", "--verbose")
    assert json.loads(outcome.out)["estimate"] is None
    assert SAID not in outcome.err


def test_what_came_through_a_pipe_is_examined(x1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = Path("a.jpg").read_bytes()
    monkeypatch.setattr("mambair_cli.restoration.pipes.read", lambda: content)
    monkeypatch.setattr("mambair_cli.restoration.pipes.check", lambda jobs: None)
    assert SAID in run("dejpeg", "-", "-o", "b.png", "--model", str(x1), "--verbose").err


@pytest.mark.parametrize("flag", ["--json", "--verbose"])
def test_no_flag_of_the_output_changes_what_is_restored(flag: str, x1: Path) -> None:
    cv2.imwrite("a.tif", np.full((16, 20, 3), 0.5, np.float32))  # which Pillow does not open
    assert run("denoise", "a.tif", "-o", "plain.png", "--model", str(x1)).code == 0
    assert run("denoise", "a.tif", "-o", "asked.png", "--model", str(x1), flag).code == 0
    assert Path("asked.png").read_bytes() == Path("plain.png").read_bytes()
