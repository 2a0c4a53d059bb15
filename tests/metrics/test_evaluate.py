from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mambair_archs import MambaIRv2Light
from mambair_cli import restore
from mambair_cli.data.imagesets import ImageSet, Sample, open_set
from mambair_cli.data.resize import imresize
from mambair_cli.errors import InputError
from mambair_cli.images.decode import decode
from mambair_cli.metrics import evaluate
from mambair_cli.metrics.evaluate import Measure
from mambair_cli.metrics.psnr import psnr
from mambair_cli.metrics.ssim import ssim
from mambair_cli.weights import catalog
from mambair_cli.weights.loader import load
from mambair_cli.weights.model import Model
from tests.data.pictures import natural, write


@pytest.fixture
def five(tmp_path: Path) -> Path:
    for number, size in enumerate([(48, 60), (61, 50)]):
        write(tmp_path / "Five" / "HR" / f"im{number}.png", natural(number, *size))
    return tmp_path / "Five"


class Doubled(nn.Module):
    """Repeats pixels, and notes what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(image.shape[2:]))
        return image.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_scores_are_those_of_the_restored_images(x2: Path, five: Path) -> None:
    model = load(x2, "cpu")
    kept: dict[str, np.ndarray] = {}
    measure = evaluate.customary(model)
    assert measure == Measure(crop_border=2, y_channel=True)
    found = list(evaluate.scores(model, open_set(five, 2), measure, lambda name, image: kept.update({name: image})))
    assert [score.image for score in found] == ["im0", "im1"]
    for score in found:
        good = decode(five / "HR" / f"{score.image}.png").pixels
        good = good[: good.shape[0] // 2 * 2, : good.shape[1] // 2 * 2]
        restored = restore(imresize(good, 1 / 2), model, tile=0)
        np.testing.assert_array_equal(kept[score.image], restored)
        assert score.psnr == psnr(restored, good, 2, y_channel=True)
        assert score.ssim == ssim(restored, good, 2, y_channel=True)
        assert score.seconds > 0
    result = evaluate.SetScores("Five", "made", found, 30.0)
    assert result.psnr == pytest.approx((found[0].psnr + found[1].psnr) / 2)
    record = result.record()
    assert record["psnr"] == result.psnr
    assert record["published_psnr"] == 30
    assert [image["ssim"] for image in record["images"]] == [score.ssim for score in found]


def test_noise_left_alone_scores_what_its_strength_says(x1: Path, tmp_path: Path) -> None:
    write(tmp_path / "gray.png", np.full((128, 128, 3), 128, np.uint8))
    model = replace(load(x1, "cpu"), network=nn.Identity())
    assert evaluate.customary(model) == Measure()
    (score,) = evaluate.scores(model, open_set(tmp_path, 1, sigma=25), Measure())
    assert score.psnr == pytest.approx(20 * np.log10(255 / 25), abs=0.1)  # PSNR's definition


def test_equal_images_have_no_figure_in_json(x1: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "a.png", natural(0, 32, 32))
    same = ImageSet("same", [Sample("a", target, target)])
    found = list(evaluate.scores(replace(load(x1, "cpu"), network=nn.Identity()), same, Measure()))
    assert found[0].psnr == float("inf")
    record = evaluate.SetScores("same", "", found).record()
    assert (record["psnr"], record["images"][0]["psnr"], record["ssim"]) == (None, None, pytest.approx(1))


def test_noise_beyond_white_and_black_reaches_the_network(x1: Path, tmp_path: Path) -> None:
    write(tmp_path / "white.png", np.full((64, 64, 3), 255, np.uint8))
    seen: list[float] = []

    class Look(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(float(image.max()))
            return image

    model = replace(load(x1, "cpu"), network=Look())
    (score,) = evaluate.scores(model, open_set(tmp_path, 1, sigma=25), Measure())
    assert seen[0] > 1.2
    # Half of the values are clipped: the mean square error is half of the variance.
    assert score.psnr == pytest.approx(20 * np.log10(255 / 25) + 10 * np.log10(2), abs=0.15)


def test_protocols_and_tiles_decide_what_the_network_sees(x2: Path, tmp_path: Path) -> None:
    write(tmp_path / "wide.png", natural(0, 120, 420))
    images = open_set(tmp_path, 2)
    seen = {}
    for name, measure in {
        "whole": Measure(),
        "tiles": Measure(tile=128),
        "paper": Measure(protocol="paper"),
    }.items():
        network = Doubled()
        (score,) = evaluate.scores(replace(load(x2, "cpu"), network=network), images, measure)
        seen[name] = (network.seen, score.psnr)
    assert seen["whole"][0] == [(60, 210)]
    assert len(seen["tiles"][0]) > 1
    assert seen["paper"][0] == [(60, 115), (60, 115)]  # 210 // 200 + 1 = 2 parts of 105, a tenth is 10
    assert seen["whole"][1] == seen["paper"][1] == seen["tiles"][1]  # pixels alone do not see where parts begin


def test_gray_networks_are_measured_on_gray(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    write(tmp_path / "a.png", natural(0, 40, 40))
    model = load(checkpoint(upscale=1, upsampler="", in_chans=1), "cpu")
    kept: list[np.ndarray] = []
    list(evaluate.scores(model, open_set(tmp_path, 1, quality=10), Measure(), lambda _, image: kept.append(image)))
    assert kept[0].shape == (40, 40, 1)


def test_images_that_cannot_be_compared_are_named(x2: Path, tmp_path: Path) -> None:
    target = write(tmp_path / "tiny.png", natural(0, 14, 40))
    with pytest.raises(InputError, match=r"tiny.png has 40 x 14 pixels, too few"):
        list(evaluate.scores(load(x2, "cpu"), open_set(tmp_path, 2), Measure(crop_border=2)))
    wrong = ImageSet("wrong", [Sample("tiny", target)], make=lambda image, _: image)
    with pytest.raises(InputError, match=r"tiny.png has 40 x 14 pixels, which does not fit"):
        list(evaluate.scores(load(x2, "cpu"), wrong, Measure()))


def test_published_scores_belong_to_models_and_sets(x2: Path, checkpoint: Callable[..., Path]) -> None:
    light = catalog.by_name("mambairv2-light-x2")
    assert evaluate.published(light, "Set5") == evaluate.published(light, "set5") == 38.26  # paper's table 3
    assert evaluate.published(catalog.by_name("mambair-denoise-15"), "CBSD68HQ") == 34.43
    assert evaluate.published(light, "holidays") is None
    assert evaluate.published(None, "Set5") is None

    def model(path: Path) -> Model:
        return load(path, "cpu")

    assert evaluate.entry_of(model(checkpoint(MambaIRv2Light))) == light  # the only light one of the second kind
    assert evaluate.entry_of(model(x2)) is None  # light or classic
