"""What MambaIRModel adds to SRModel, one step at a time."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from mambair_cli.errors import NumericalError, UsageError
from mambair_cli.training.basicsr import bridge
from mambair_cli.training.recipe.resolving import resolve
from mambair_cli.training.recipe.schema import RecipeModel
from mambair_cli.weights import catalog
from mambair_cli.weights.files import read

from ..conftest import MAMBAIR, differences, edsr, mambair

NANO = yaml.safe_load((Path(__file__).parents[3] / "options/nano_SR_x2.yml").read_text())["network_g"]
TAIL = ["upsample.bias", "upsample.weight"]
DATA = torch.Generator().manual_seed(1)
LOW, HIGH = torch.rand(4, 3, 8, 8, generator=DATA), torch.rand(4, 3, 16, 16, generator=DATA)


def model(kind: str = "MambaIRModel", network: dict[str, Any] | None = None, **train: Any) -> Any:
    recipe = edsr(model_type="MambaIRModel")
    recipe["network_g"] = deepcopy(network or recipe["network_g"])
    recipe["train"] |= train
    torch.manual_seed(0)
    options = resolve(RecipeModel.model_validate(recipe), Path(), cuda=False)
    return bridge.build_model(options | {"model_type": kind})


def step(model: Any, number: int = 1, high: torch.Tensor = HIGH) -> Any:
    model.update_learning_rate(number)
    model.feed_data({"lq": LOW, "gt": high})
    model.optimize_parameters(number)
    return model


def weights(model: Any) -> dict[str, Any]:
    return {"net": model.net_g.state_dict(), "ema": model.net_g_ema.state_dict()}


def test_without_extras_a_step_is_basicsr_s() -> None:
    ours, theirs = model(), model("SRModel")
    for number in (1, 2):
        step(ours, number)
        step(theirs, number)
    assert differences(weights(ours), weights(theirs)) == []


def test_warmed_up_averages_forget_the_start() -> None:
    subject = model(ema_decay=0.5, ema_warmup=True)
    expected = deepcopy(weights(subject)["ema"])
    for number, decay in ((1, 2 / 11), (2, 3 / 12), (3, 4 / 13), (30, 0.5)):
        step(subject, number)
        for name, value in weights(subject)["net"].items():
            expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in weights(subject)["ema"].items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-7)


def test_accumulated_parts_are_one_batch() -> None:
    whole, parts = step(model()), step(model(accumulate=4))
    for name, value in whole.net_g.state_dict().items():
        torch.testing.assert_close(parts.net_g.state_dict()[name], value, rtol=0, atol=1e-6)
    assert parts.log_dict["l_pix"] == pytest.approx(whole.log_dict["l_pix"], rel=1e-6)


def test_gradients_are_clipped_to_their_norm() -> None:
    clipped, free = step(model(clip_grad_norm=1e-3)), step(model())
    norm = torch.stack([parameter.grad.norm() for parameter in clipped.net_g.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)
    assert clipped.log_dict["grad_norm"] == pytest.approx(free.log_dict["grad_norm"])
    assert free.log_dict["grad_norm"] > 1e-2


def test_steps_with_nan_are_left_out_counted_and_end_in_a_message() -> None:
    subject = step(model(nan_guard={"max_skipped": 2}))
    before = deepcopy(weights(subject))
    for number in (2, 3):
        step(subject, number, HIGH * float("nan"))
    assert differences(before, weights(subject)) == []
    assert subject.skipped == [2, 2]
    step(subject, 4)
    assert subject.skipped == [0, 2]
    assert differences(before, weights(subject)) != []
    for number in (5, 6):
        step(subject, number, HIGH * float("nan"))
    with pytest.raises(NumericalError, match="3 steps in a row, the last at iteration 7"):
        step(subject, 7, HIGH * float("nan"))


def test_bf16_computes_in_half_precision_and_keeps_weights_in_full() -> None:
    half, full = step(model(network=MAMBAIR, precision="bf16")), step(model(network=MAMBAIR))
    assert {value.dtype for value in half.net_g.state_dict().values()} == {torch.float32}
    assert half.log_dict["l_pix"] == pytest.approx(full.log_dict["l_pix"], rel=0.02)
    assert half.log_dict["l_pix"] != full.log_dict["l_pix"]


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_any_optimiser_of_torch(kind: str) -> None:
    assert type(model(optim_g={"type": kind, "lr": 1e-3}).optimizer_g).__name__ == kind


@pytest.mark.parametrize("size", [(9, 13), (300, 20)], ids=["smaller than a tile", "several tiles"])
def test_validation_restores_with_averaged_weights(size: tuple[int, int]) -> None:
    subject = step(model(ema_decay=0.5))
    lq = torch.rand(1, 3, *size, generator=DATA)
    subject.feed_data({"lq": lq})
    subject.test()
    with torch.no_grad():
        expected = subject.net_g_ema(lq).clamp(0, 1)
    np.testing.assert_allclose(subject.output.numpy(), expected.numpy(), atol=1e-5)
    assert subject.net_g.training


def test_published_names_are_there() -> None:
    for name in ("MambaIRv2Model", "MambaIRv2LightModel"):
        assert type(model(name)).__name__ == name


def test_a_tiny_mambair_learns() -> None:
    recipe = mambair()["network_g"]
    subject = model(network=recipe)
    losses = [step(subject, number).log_dict["l_pix"] for number in range(1, 9)]
    assert losses[-1] < 0.9 * losses[0]


def test_weights_that_ship_are_a_start() -> None:
    """Of the same network all of them, of one for another scale all but the tail."""
    entry = catalog.by_name("mambair-nano-x2")
    assert entry is not None
    shipped = read(entry.path)[0][0]
    start = {"pretrain_network_g": str(entry.path), "strict_load_g": True}
    for scale in (2, 3):
        recipe = edsr(model_type="MambaIRModel")
        recipe["network_g"] = NANO | {"upscale": scale}
        recipe["path"] |= start | {"strict_load_g": scale == 2}
        subject = bridge.build_model(resolve(RecipeModel.model_validate(recipe), Path(), cuda=False))
        found = subject.net_g.state_dict()
        fitting = [key for key, value in shipped.items() if found[key].shape == value.shape]
        assert [key for key in shipped if key not in fitting] == ([] if scale == 2 else TAIL)
        assert all(torch.equal(found[key], shipped[key].float()) for key in fitting)


def test_fp16_scales_the_loss_and_stays_near_fp32() -> None:
    plain, half = model(network=MAMBAIR), model(network=MAMBAIR, precision="fp16")
    assert half.scaler_state["scale"] == 65536
    for number in (1, 2, 3):
        step(plain, number)
        step(half, number)
    assert half.skipped[1] == 0
    assert half.log_dict["grad_norm"] == pytest.approx(plain.log_dict["grad_norm"], rel=0.05)
    assert half.log_dict["l_pix"] == pytest.approx(plain.log_dict["l_pix"], rel=0.01)


def test_fp16_lowers_the_scale_when_a_gradient_overflows_and_checkpoints_keep_it() -> None:
    subject = model(network=MAMBAIR, precision="fp16")
    step(subject)
    before = deepcopy(weights(subject)["net"])
    step(subject, 2, HIGH * float("inf"))
    assert subject.skipped == [1, 1]
    assert subject.scaler_state["scale"] == 32768
    assert differences(weights(subject)["net"], before) == []
    other = model(network=MAMBAIR, precision="fp16")
    other.scaler_state = subject.scaler_state
    assert other.scaler_state == subject.scaler_state


def test_frozen_parameters_keep_their_values() -> None:
    subject = model(freeze=["body.*", "conv_first.weight"])
    before = deepcopy(weights(subject)["net"])
    step(subject)
    moved = {name for name, value in weights(subject)["net"].items() if not torch.equal(value, before[name])}
    assert moved
    assert not any(name.startswith("body.") for name in moved)
    assert "conv_first.weight" not in moved
    assert "conv_first.bias" in moved
    with pytest.raises(UsageError, match=r"no parameter of the network is called nose\.\*"):
        model(freeze=["nose.*"])
    with pytest.raises(UsageError, match="leaves nothing to train"):
        model(freeze=["*"])


def test_patches_grow_in_stages_from_the_same_places_of_both() -> None:
    stages = [{"steps": 2, "gt_size": 4, "batch": 3}, {"steps": 1, "gt_size": 16, "batch": 2}]
    subject = model(progressive=stages)
    high = LOW.repeat_interleave(2, 2).repeat_interleave(2, 3)
    for number, shape in ((1, (3, 3, 2, 2)), (2, (3, 3, 2, 2)), (3, (2, 3, 8, 8)), (9, (2, 3, 8, 8))):
        step(subject, number, high)
        assert subject.lq.shape == shape
        assert torch.equal(subject.gt, subject.lq.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_mixed_samples_are_blends_of_two_with_the_same_share_in_both() -> None:
    subject = model(mixup={"beta": 1.2, "probability": 1.0})
    high = LOW.repeat_interleave(2, 2).repeat_interleave(2, 3)
    step(subject, 1, high)
    assert not torch.equal(subject.lq, LOW)
    torch.testing.assert_close(subject.gt, subject.lq.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(subject.lq.mean(0), LOW.mean(0))
    assert torch.equal(step(model(mixup={"beta": 1.2, "probability": 0.0}), 1, high).lq, LOW)
