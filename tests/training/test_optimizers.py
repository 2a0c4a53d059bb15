"""Optimisers beyond torch's usual ones: who moves what, and runs that were stopped end as those that were not."""

import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mambair_cli.training.optimizers import Muon, averaged, hidden_weights

from .basicsr.test_models import model, step
from .conftest import MAMBAIR, checkpoint, differences, edsr, train

KINDS: dict[str, dict[str, Any]] = {
    "Muon": {"lr": 0.002, "adamw_lr": 0.001},
    "AdamW8bit": {"lr": 0.001, "min_8bit_size": 16},
    "AdamWScheduleFree": {"lr": 0.003, "warmup_steps": 3},
}
PACKAGES = {"AdamW8bit": "bitsandbytes", "AdamWScheduleFree": "schedulefree"}


def own(kind: str, **changes: Any) -> dict[str, Any]:
    recipe = edsr(model_type="MambaIRModel", train__optim_g={"type": kind, **KINDS[kind]}, **changes)
    if kind == "AdamWScheduleFree":
        del recipe["train"]["scheduler"], recipe["train"]["ema_decay"]
    else:
        recipe["train"]["scheduler"]["milestones"] = [2]
    return recipe


def test_hidden_weights_are_those_of_matrices_between_the_ends() -> None:
    subject = model(network=MAMBAIR).net_g
    found = {id(weight) for weight in hidden_weights(subject)}
    names = {name for name, parameter in subject.named_parameters() if id(parameter) in found}
    assert {"layers.0.residual_group.blocks.0.self_attention.in_proj.weight", "conv_after_body.weight"} <= names
    outside = ("conv_first", "upsample", "A_log", "norm", "bias", "conv2d", "x_proj", "dt_proj")
    assert not [name for name in names if any(part in name for part in outside)]


def test_muon_moves_hidden_weights_as_torchs_and_the_rest_as_adamw() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3), nn.Conv2d(6, 3, 1))
    subject = Muon(network.parameters(), hidden_weights(network), lr=0.02, adamw_lr=0.003, weight_decay=0.1)
    other = deepcopy(network)
    middle = dict(other.named_parameters())["1.weight"]
    matrix = nn.Parameter(middle.detach().reshape(6, 36))
    rest = [parameter for parameter in other.parameters() if parameter is not middle]
    muon = torch.optim.Muon([matrix], 0.02, 0.1, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(rest, 0.003, weight_decay=0.1)
    for _ in range(3):
        for a, b in zip(network.parameters(), other.parameters(), strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        assert middle.grad is not None
        matrix.grad = middle.grad.reshape(6, 36)
        subject.step()
        muon.step()
        adamw.step()
    middle.data = matrix.data.view_as(middle)
    assert differences(dict(network.state_dict()), dict(other.state_dict())) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_ends_as_a_straight_one(place: Path, kind: str) -> None:
    if kind in PACKAGES:
        pytest.importorskip(PACKAGES[kind])
    assert train(own(kind, train__total_iter=6, name="straight")).code == 0
    assert train(own(kind, train__total_iter=4)).code == 0  # a checkpoint and a validation that the other has not
    outcome = train(own(kind, train__total_iter=6, val__val_freq=3))
    assert outcome.code == 0, outcome.err
    assert "starts anew" not in outcome.err
    expected, found = checkpoint("straight", 6), checkpoint("tiny", 6)
    assert differences(expected[0], found[0]) == []
    assert differences(expected[1]["optimizers"], found[1]["optimizers"]) == []
    assert found[1]["mambair"]["kinds"] == ["AdamWScheduleFree" if "Free" in kind else kind]


def test_schedule_free_shows_and_saves_the_average(place: Path) -> None:
    pytest.importorskip("schedulefree")
    subject = model(optim_g={"type": "AdamWScheduleFree", "lr": 0.01}, scheduler=None, ema_decay=0)
    for number in (1, 2, 3):
        step(subject, number)
    network, optimizer = subject.net_g, subject.optimizer_g
    before = deepcopy(network.state_dict())
    subject.opt["path"] |= {"models": "models", "training_states": "states"}
    subject.save(0, -1)
    assert differences(before, network.state_dict()) == []
    saved = torch.load("models/net_g_latest.pth", weights_only=True)
    for name, parameter in network.named_parameters():
        z = optimizer.state[parameter]["z"]  # training stands at 0.1 z + 0.9 average
        torch.testing.assert_close(saved["params_ema"][name], (parameter - 0.1 * z) / 0.9, rtol=1e-4, atol=1e-6)
    assert differences(dict(before), dict(saved["params"])) == []
    with averaged(optimizer):
        assert differences(dict(saved["params_ema"]), dict(network.state_dict())) == []


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_missing_package_is_a_mistake_with_line_and_extra(
    place: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (PACKAGES[kind], f"{PACKAGES[kind]}.optim"):
        monkeypatch.setitem(sys.modules, name, None)
    outcome = train(own(kind))
    assert outcome.code == 2
    assert f"The optimiser {kind} needs what is not installed" in outcome.err
    assert f"pip install 'mambair[{PACKAGES[kind]}]'" in outcome.err
    assert "recipe.yml:" in outcome.err


def test_what_schedule_free_does_itself_is_not_asked_for_twice(place: Path) -> None:
    recipe = edsr(model_type="MambaIRModel", train__optim_g={"type": "AdamWScheduleFree", "lr": 0.001})
    recipe["train"]["warmup_iter"] = 5
    said = train(recipe).err
    for name in ("scheduler", "warmup_iter", "ema_decay"):
        assert f"AdamWScheduleFree goes without train.{name}" in said
    without = edsr()
    del without["train"]["scheduler"]
    Path("w").mkdir()
    assert "train lacks 'scheduler'" in train(without, "name=w").err


def test_both_rates_of_muon_are_in_the_recipe(place: Path) -> None:
    recipe = own("Muon")
    del recipe["train"]["optim_g"]["adamw_lr"]
    outcome = train(recipe)
    assert (outcome.code, "train.optim_g lacks 'adamw_lr'" in outcome.err) == (2, True)
