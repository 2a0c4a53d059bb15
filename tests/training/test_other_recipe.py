"""A run that goes on with another recipe does what that recipe says."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from .conftest import edsr, mambair, rows, train


def own(scheduler: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    recipe = edsr(model_type="MambaIRModel", val={}, logger__print_freq=1, logger__save_checkpoint_freq=100, **changes)
    recipe["train"]["scheduler"] = scheduler or {"type": "MultiStepLR", "milestones": [3], "gamma": 0.5}
    return recipe


def rates() -> list[float]:
    return [row["lr"] for row in rows("tiny")]


def cosine(step: int, period: int) -> float:
    return 0.001 * 0.5 * (1 + math.cos(math.pi * step / period))


def test_more_iterations_with_other_periods_follow_the_new_cosine(place: Path) -> None:
    kind = "CosineAnnealingRestartLR"
    assert train(own({"type": kind, "periods": [4]}, train__total_iter=4)).code == 0
    outcome = train(own({"type": kind, "periods": [8]}, train__total_iter=8))
    assert outcome.code == 0, outcome.err
    expected = [cosine(step, 4) for step in range(4)] + [cosine(step, 8) for step in range(4, 8)]
    assert rates() == pytest.approx(expected)
    assert "changed since then: train.scheduler.periods: [4] -> [8]" in outcome.err
    assert "changed since then: train.total_iter: 4 -> 8" in outcome.err
    outcome = train(
        own({"type": kind, "periods": [8]}, train__total_iter=8, train__optim_g={"type": "Adam", "lr": 1.0})
    )
    assert "tiny is done: 8 of 8 iterations" in outcome.err
    assert "changed since then: train.optim_g.lr: 0.001 -> 1.0" in outcome.err
    assert "raise train.total_iter to train with these changes" in outcome.err


@pytest.mark.parametrize(
    ("changes", "scheduler", "rate"),
    [
        ({"train__optim_g": {"type": "Adam", "lr": 0.01}}, None, 0.005),
        ({}, {"type": "MultiStepLR", "milestones": [2, 5], "gamma": 0.5}, 0.00025),
        ({}, {"type": "StepLR", "step_size": 100}, 0.001),
    ],
    ids=["lr", "milestones", "scheduler"],
)
def test_the_learning_rate_is_that_of_the_recipe(
    place: Path, changes: dict[str, Any], scheduler: dict[str, Any] | None, rate: float
) -> None:
    assert train(own(train__total_iter=5)).code == 0
    assert train(own(scheduler, train__total_iter=7, **changes)).code == 0
    assert rates()[-1] == pytest.approx(rate)


def test_other_settings_of_the_optimiser_are_those_of_the_recipe(place: Path) -> None:
    assert train(own(train__total_iter=3)).code == 0
    adam = {"type": "Adam", "lr": 0.001, "betas": [0.5, 0.9], "weight_decay": 0.1}
    assert train(own(train__total_iter=4, train__optim_g=adam)).code == 0
    saved = torch.load("experiments/tiny/training_states/4.state", weights_only=True)["optimizers"][0]
    [group] = saved["param_groups"]
    assert (list(group["betas"]), group["weight_decay"]) == ([0.5, 0.9], 0.1)
    assert {float(state["step"]) for state in saved["state"].values()} == {4.0}


@pytest.mark.parametrize(
    "optimizer", [{"type": "SGD", "momentum": 0.9}, {"type": "Adamax"}, {"type": "Adam", "amsgrad": True}]
)
def test_another_optimiser_starts_anew_and_says_so(place: Path, optimizer: dict[str, Any]) -> None:
    assert train(own(train__total_iter=3)).code == 0
    outcome = train(own(train__total_iter=4, train__optim_g={**optimizer, "lr": 0.001}))
    assert outcome.code == 0, outcome.err
    assert "starts anew" in outcome.err
    saved = torch.load("experiments/tiny/training_states/4.state", weights_only=True)
    assert saved["mambair"]["kinds"] == [optimizer["type"]]


def test_warm_up_that_ends_after_the_checkpoint_goes_on(place: Path) -> None:
    slow = {"type": "MultiStepLR", "milestones": [8]}
    assert train({**own(slow, train__warmup_iter=6), "name": "straight"}).code == 0
    assert train(own(slow, train__warmup_iter=6), "train.total_iter=3", "train.scheduler.milestones=[3]").code == 0
    assert train(own(slow, train__warmup_iter=6)).code == 0
    assert rates() == [row["lr"] for row in rows("straight")]


def test_the_same_recipe_is_not_said_to_have_changed(place: Path) -> None:
    recipe = mambair()
    assert train(recipe, "train.total_iter=4", "train.scheduler.milestones=[4]").code == 0
    outcome = train(recipe, "train.total_iter=5", "train.scheduler.milestones=[4]")
    changed = [line for line in outcome.err.splitlines() if line.startswith("changed")]
    assert changed == ["changed since then: train.total_iter: 4 -> 5"]


def test_another_first_metric_has_a_best_of_its_own(place: Path) -> None:
    def measured(kind: str, total: int) -> dict[str, Any]:
        metrics = {kind: {"type": f"calculate_{kind}", "crop_border": 2}}
        return edsr(val={"val_freq": 4, "metrics": metrics}, train__total_iter=total)

    assert train(measured("psnr", 4)).code == 0
    assert train(measured("ssim", 8)).code == 0
    state = torch.load("experiments/tiny/training_states/8.state", weights_only=True)
    assert state["mambair"]["best"]["metric"] == "ssim"


def test_other_networks_than_the_checkpoints_are_refused_by_name(place: Path) -> None:
    assert train(edsr(train__total_iter=2)).code == 0
    gan = edsr(
        model_type="ESRGANModel",
        network_d={"type": "UNetDiscriminatorSN", "num_in_ch": 3, "num_feat": 4},
        train__optim_d={"type": "Adam", "lr": 0.001},
        train__gan_opt={"type": "GANLoss", "gan_type": "vanilla", "loss_weight": 0.1},
    )
    outcome = train(gan)
    assert outcome.code == 2
    assert "The checkpoint is of SRModel with network_g, the recipe wants ESRGANModel with" in outcome.err
