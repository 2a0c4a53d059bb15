"""The README is executed: what it promises works as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mambair_cli.app import app
from mambair_cli.commands.doctor import BASICSR
from mambair_cli.images.decode import decode

from .run import run

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Code blocks of the README in order."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the sample photo where the README has it."""
    sample = Path("datasets/samples/cat.png")
    (tmp_path / sample.parent).mkdir(parents=True)
    (tmp_path / sample).write_bytes((ROOT / sample).read_bytes())
    return tmp_path


def test_the_first_command_enlarges_the_sample_photo(place: Path) -> None:
    install, enlarge = blocks("sh")[0].strip().split(" && ")
    assert install == "pip install ."
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        shlex.split(enlarge), cwd=place, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    expected = re.search(r"result of the first command is `([^`]+)`", TEXT)
    assert expected is not None
    assert result.stdout == f"{expected[1]}\n"
    assert decode(place / expected[1]).pixels.shape == (600, 900, 3)


def test_the_second_command_runs_the_tests() -> None:
    assert blocks("sh")[1].strip() == "make test"
    plan = subprocess.run(["make", "-n", "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "-m pytest" in plan


def test_the_python_example(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    names = {"small": np.zeros((5, 6, 3), np.uint8)}
    exec(blocks("python")[0], names)
    assert names["large"].shape == (20, 24, 3)


LIGHT = [f"network_g.{change}" for change in ("depths=[1]", "embed_dim=30", "d_state=2")]
LIGHT += ["datasets.train.gt_size=32", "datasets.train.batch_size_per_gpu=1", "datasets.train.num_worker_per_gpu=0"]
LIGHT += ["datasets.train.dataset_enlarge_ratio=1", "train.total_iter=2", "train.scheduler.milestones=[1]"]
"""What makes the printed commands quick; nothing else of them is changed."""


@pytest.mark.skipif(find_spec("basicsr") is None, reason="BasicSR is not installed")
def test_the_training_section_runs_as_printed_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [section] = [block for block in blocks("sh") if "mambair train" in block]
    install, fetch, rehearse, train = (shlex.split(line) for line in section.strip().splitlines())
    assert " ".join(install) == f"pip install .[train] setuptools && {BASICSR}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAMBAIR_DATA", raising=False)
    without = run(*train[1:])
    assert without.code == 1
    assert f"Run {' '.join(fetch)};" in without.err
    for folder, side in (("HR", 64), ("LR_bicubic/X2", 32)):
        for name in ("DF2K", "SR/Urban100"):
            path = tmp_path / "datasets" / name / folder
            path.mkdir(parents=True)
            Image.new("RGB", (side, side), (90, 120, 60)).save(path / ("a.png" if side == 64 else "ax2.png"))
    measured = run(*rehearse[1:], *LIGHT)
    assert measured.code == 0, measured.err
    assert not (tmp_path / "experiments").exists()
    trained = run(*train[1:], *LIGHT)
    assert trained.code == 0, trained.err
    results = tmp_path / "experiments/lightSR_x2"
    for name in re.findall(r"net_g_best|net_g_latest", TEXT):
        assert (results / "models" / f"{name}.pth").is_file()
    for name in ("log.jsonl", "train.log", "recipe.yml", "runs.jsonl"):
        assert (results / name).is_file()


def test_every_command_in_the_table_exists() -> None:
    named = set(re.findall(r"^\| `mambair (\w+)", TEXT, flags=re.MULTILINE))
    known = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert named == known


def test_the_second_installation_step_is_everywhere_the_same() -> None:
    assert BASICSR in TEXT
    assert BASICSR in (ROOT / "Makefile").read_text(encoding="utf-8").replace("--quiet ", "")
