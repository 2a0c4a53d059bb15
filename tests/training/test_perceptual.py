"""Losses between features: what is said where a package or weights are missing, and that they train."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import nn

from mambair_cli.errors import MambairError, ModelError
from mambair_cli.training import perceptual
from mambair_cli.training.losses import LPIPSLoss
from mambair_cli.training.perceptual import weights

from .conftest import edsr, rows, train

URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
VGG = {"type": "PerceptualLoss", "layer_weights": {"conv1_1": 1}, "vgg_type": "vgg11", "criterion": "l1"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for downloads."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_offline_the_file_to_place_is_named(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "address", lambda network: URL)
    with pytest.raises(ModelError) as caught, weights("vgg19"):
        raise URLError("no route")
    assert caught.value.message == "The weights of vgg19 cannot be downloaded: no route."
    assert caught.value.hint == f"Get {URL} elsewhere and save it as {hub / 'vgg19-dcbb9e9d.pth'}."


@pytest.mark.parametrize(
    "error", [ModuleNotFoundError("No module named 'lpips'"), AttributeError("torchvision.models.vgg.vgg19 needs ...")]
)
def test_a_missing_package_is_named_with_the_extra(error: Exception) -> None:
    with pytest.raises(MambairError) as caught, weights("vgg19"):
        raise error
    assert str(error) in caught.value.message
    assert "mambair[perceptual]" in caught.value.hint


def test_errors_of_others_stay() -> None:
    with pytest.raises(RuntimeError, match="something else"), weights("vgg19"):
        raise RuntimeError("something else")


def test_basicsrs_loss_trains_and_says_what_is_missing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from basicsr.archs import vgg_arch

    layers = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.MaxPool2d(2))
    vgg = SimpleNamespace(vgg11=lambda pretrained: SimpleNamespace(features=layers))
    monkeypatch.setattr(vgg_arch, "vgg", vgg)
    recipe = edsr(train__perceptual_opt=VGG, train__total_iter=2, val={}, logger__print_freq=1)
    assert train(recipe).code == 0
    assert "l_percep" in rows("tiny")[0]
    monkeypatch.setattr(vgg_arch, "vgg", SimpleNamespace(vgg11=absent))
    outcome = train(recipe, "--no-resume")
    assert outcome.code == 1
    assert "between features of vgg11 is not possible" in outcome.err
    assert "mambair[perceptual]" in outcome.err


def absent(pretrained: bool) -> Any:
    """What the stand-in for torchvision does."""
    raise AttributeError("torchvision.models.vgg.vgg11 needs torchvision, which cannot be imported here")


def test_losses_in_the_wrong_place(place: Path) -> None:
    outcome = train(edsr(train__pixel_opt={"type": "LPIPSLoss"}, train__perceptual_opt={"type": "L1Loss"}))
    assert outcome.code == 2
    assert "LPIPSLoss compares features, not pixels. Write it as perceptual_opt." in outcome.err
    assert "L1Loss compares no features. Use one of PerceptualLoss, LPIPSLoss, or pixel_opt." in outcome.err


def test_lpips_of_our_own_network(hub: Path, place: Path) -> None:
    pytest.importorskip("torchvision")
    pytest.importorskip("lpips")
    from torchvision.models import squeezenet1_1

    torch.save(squeezenet1_1().state_dict(), hub / "squeezenet1_1-b8a52dc0.pth")
    loss = LPIPSLoss(2.0, net="squeeze")
    image = torch.rand(1, 3, 32, 32)
    assert loss(image, image)[0] == 0
    assert loss(image, 1 - image)[0] > 0
    made = edsr(
        train__perceptual_opt={"type": "LPIPSLoss", "net": "squeeze"},
        train__total_iter=2,
        val={},
        datasets__train__gt_size=32,
    )
    assert train(made | {"model_type": "MambaIRModel"}).code == 0
    assert "l_percep" in rows("tiny")[-1]
