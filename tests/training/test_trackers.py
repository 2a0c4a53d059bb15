"""Curves and pictures reach whoever the recipe names, and none of them stops a training."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from mambair_cli.training.samples import side_by_side

from .conftest import edsr, train


class Stub(ModuleType):
    """What Weights & Biases and Trackio have in common, and notes what it is given."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.begun: list[dict[str, Any]] = []
        self.rows: list[tuple[int, dict[str, Any]]] = []
        self.ended, self.failing, self.id = 0, False, "abc"

    def init(self, **options: Any) -> "Stub":
        self.begun.append(options)
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        if self.failing:
            raise ConnectionError("no route")
        self.rows.append((step, values))

    def Image(self, picture: Any) -> Any:
        return picture

    def finish(self) -> None:
        self.ended += 1


@pytest.fixture(params=["wandb", "trackio"])
def stub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Stub:
    made = Stub(request.param)
    monkeypatch.setitem(sys.modules, request.param, made)
    return made


def recipe(stub: Stub, **changes: Any) -> dict[str, Any]:
    logger = {"print_freq": 3, "save_checkpoint_freq": 5, stub.__name__: {"project": "p"}}
    return edsr(logger=logger, **changes)


def test_numbers_and_pictures_arrive_and_a_resumed_run_goes_on(place: Path, stub: Stub) -> None:
    assert train(recipe(stub, train__total_iter=4)).code == 0
    [begun] = stub.begun
    assert (begun["project"], begun["name"]) == ("p", "tiny")
    assert begun["config"]["train"]["optim_g"]["lr"] == 0.001
    values = {name: value for _, row in stub.rows for name, value in row.items()}
    assert {"l_pix", "lr", "few/psnr", "few/0"} <= values.keys()
    assert values["few/0"].shape == (32, 3 * 32, 3)
    assert stub.ended == 1
    assert train(recipe(stub, train__total_iter=5)).code == 0
    assert stub.begun[1]["resume"] == "allow"
    if stub.__name__ == "wandb":
        assert (begun["id"], stub.begun[1]["id"]) == (None, "abc")


def test_what_takes_no_more_is_told_once_and_does_not_stop_the_training(place: Path, stub: Stub) -> None:
    stub.failing = True
    outcome = train(recipe(stub, train__total_iter=12))
    assert outcome.code == 0
    assert outcome.err.count("takes no more of this training (no route)") == 1


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_what_is_not_installed_is_named_before_the_first_step(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    outcome = train(recipe(Stub(name), train__total_iter=1))
    assert (outcome.code, f"pip install 'mambair[{name}]'" in outcome.err) == (1, True)
    assert not Path("experiments/tiny/training_states").exists()


def test_tensorboard_shows_curves_and_pictures(place: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert train(edsr(train__total_iter=4, logger__use_tb_logger=True)).code == 0
    events = reader.EventAccumulator("experiments/tiny/tb_logger", size_guidance={"images": 0}).Reload()
    assert {"losses/l_pix", "lr", "few/psnr"} <= set(events.Tags()["scalars"])
    assert sorted(events.Tags()["images"]) == ["few/0", "few/1", "few/2", "few/3"]
    row = json.loads(Path("experiments/tiny/log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert events.Scalars("few/psnr")[-1].value == pytest.approx(row["few/psnr"])


def test_pictures_stand_side_by_side_in_the_largest_size() -> None:
    small, large = torch.zeros(1, 3, 4, 4), torch.ones(1, 1, 8, 8)
    row = side_by_side([small, large])
    assert row.shape == (8, 16, 3)
    assert (row[:, :8] == 0).all()
    assert (row[:, 8:] == 255).all()
    assert side_by_side([torch.zeros(1, 3, 1000, 500)]).shape == (384, 384, 3)
    assert row.dtype == np.uint8
