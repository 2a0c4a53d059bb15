"""Our own loss, against the metric that it stands for."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mambair_cli.metrics.psnr import psnr
from mambair_cli.training.losses import PSNRLoss
from mambair_cli.training.recipe.reading import RecipeError, read_recipe

from .recipe.recipes import write


def test_it_is_the_mean_psnr_of_the_patches(rng: np.random.Generator) -> None:
    good = rng.integers(0, 256, (3, 20, 24, 3), dtype=np.uint8)
    harmed = np.clip(good + rng.normal(0, [[[[3.0]]], [[[10.0]]], [[[30.0]]]], good.shape), 0, 255).astype(np.uint8)
    expected = np.mean([psnr(a, b) for a, b in zip(harmed, good, strict=True)])
    pred, target = (torch.from_numpy(x).permute(0, 3, 1, 2).double() / 255 for x in (harmed, good))
    assert PSNRLoss(eps=0)(pred, target).item() == pytest.approx(-expected, abs=1e-4)
    assert PSNRLoss(loss_weight=0.5, eps=0)(pred, target).item() == pytest.approx(-expected / 2, abs=1e-4)


def test_equal_pictures_have_a_gradient_that_is_finite() -> None:
    pred = torch.full((1, 3, 4, 4), 0.5, requires_grad=True)
    loss = PSNRLoss(eps=1e-5)(pred, pred.detach())
    loss.backward()
    assert loss.item() == pytest.approx(-50)
    assert pred.grad is not None
    assert pred.grad.isfinite().all()


def test_recipes_know_it(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(tmp_path), ["train.pixel_opt={type: PSNRLoss, reduction: mean, eps: 1.0e-5}"])
    said = "\n".join(map(str, caught.value.mistakes))
    assert "unknown key 'reduction' in train.pixel_opt" in said
    assert "'eps'" not in said
