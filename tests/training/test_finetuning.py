"""``mambair finetune``: a model of the catalogue or a file, on photos of one's own."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from tests.cli.run import run

SHORT = ["train.total_iter=2", "train.scheduler.periods=[2]", "datasets.train.batch_size_per_gpu=1", "num_gpu=0"]
SMALL = [*SHORT, "datasets.train.gt_size=16", "logger.print_freq=1"]


@pytest.fixture
def photos(place: Path) -> Path:
    """Two photos of 40 pixels."""
    folder = place / "holidays"
    folder.mkdir()
    for number in range(2):
        coarse = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, (40, 40), interpolation=cv2.INTER_CUBIC))
    return folder


def test_a_model_is_trained_further_and_used(photos: Path) -> None:
    outcome = run("finetune", str(photos), "--model", "mambair-nano-x2", *SMALL)
    assert outcome.code == 0, outcome.err
    recipe = yaml.safe_load(Path("mambair-nano-x2_on_holidays.yml").read_text())
    assert recipe["datasets"]["train"]["dataroot_gt"] == str(photos)
    assert recipe["path"]["pretrain_network_g"] == "mambair-nano-x2"
    loss = float(outcome.err.split("l_pix ")[1].split()[0])
    assert loss < 0.05, "it begins where the model is"
    weights = "experiments/mambair-nano-x2_on_holidays/models/net_g_latest.pth"
    assert run("upscale", str(photos / "0.png"), "--model", weights, "-o", "big.png").code == 0
    again = run("finetune", str(photos), "--model", "mambair-nano-x2", *SMALL)
    assert "is done: 2 of 2" in again.err
    other = run("finetune", str(photos), "--model", weights, "--name", "more", *SMALL)
    assert other.code == 0, other.err
    assert yaml.safe_load(Path("more.yml").read_text())["path"]["pretrain_network_g"] == str(Path(weights).absolute())


@pytest.mark.parametrize("task", ["denoise", "dejpeg", "dehaze"])
def test_each_task_has_its_degradation(task: str, photos: Path) -> None:
    size = "datasets.train.gt_size=32"
    outcome = run("finetune", str(photos), "--model", f"mambair-nano-{task}", "--name", "x", *SHORT, size)
    assert outcome.code == 0, outcome.err
    kind = {"denoise": "noise", "dejpeg": "jpeg", "dehaze": "haze"}[task]
    assert yaml.safe_load(Path("x.yml").read_text())["datasets"]["train"]["degradation"]["type"] == kind


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--model", "mambair-nano-x2"], "The folder nowhere does not exist"),
        (["."], "Nothing says what to begin with"),
        ([".", "--model", "mambair-nano-x2", "--task", "denoise"], "cannot be trained to denoise"),
        ([".", "--model", "mambair-nanox2"], "Did you mean mambair-nano-x2?"),
    ],
)
def test_what_is_not_possible_is_said(arguments: list[str], message: str, place: Path) -> None:
    outcome = run("finetune", *arguments)
    assert outcome.code != 0
    assert message in outcome.err
    assert not list(place.glob("*.yml"))
