"""Recipes that BasicSR comes with are taken, and those of other toolkits are recognised."""

import json
from pathlib import Path

import pytest
import yaml

from benchmarks import recipes
from mambair_cli.errors import UsageError
from mambair_cli.training.recipe.reading import read_recipe

NEOSR = 'name = "x"\nmodel_type = "image"\nscale = 4\n[network_g]\ntype = "esrgan"\n'
KAIR = '{"task": "swinir", "gpu_ids": [0] // GPUs\n, "netG": {"net_type": "swinir"}}'
COMMON = {"name": "x", "scale": 4, "num_gpu": 1}
FOREIGN: dict[str, tuple[str, str, str]] = {
    "neosr": ("r.toml", NEOSR, "neosr"),
    "KAIR": ("r.json", KAIR, "KAIR"),
    "HAT": ("r.yml", yaml.safe_dump(COMMON | {"model_type": "HATModel", "network_g": {"type": "HAT"}}), "HAT"),
    "NAFNet": ("r.yml", yaml.safe_dump(COMMON | {"model_type": "ImageRestorationModel"}), "NAFNet"),
    "Restormer": ("r.yml", yaml.safe_dump(COMMON | {"model_type": "ImageCleanModel"}), "Restormer"),
    "traiNNer": ("r.yml", yaml.safe_dump(COMMON | {"train": {"losses": [{"type": "l1loss"}]}}), "traiNNer"),
    "mmsr": ("r.yml", yaml.safe_dump(COMMON | {"model": "sr", "network_G": {"which_model_G": "RRDBNet"}}), "traiNNer"),
}


@pytest.mark.parametrize("name", sorted(recipes.PUBLISHED.keys() - recipes.UNRUN.keys()))
def test_every_recipe_that_basicsr_runs_is_taken(name: str) -> None:
    taken, said = recipes.said(recipes.PUBLISHED[name])
    assert taken, said


def test_those_that_basicsr_cannot_run_are_refused_for_the_reason() -> None:
    assert recipes.said(recipes.PUBLISHED["train_RCAN_x2"]) == (
        False,
        "network_g.upscale is 4, but the scale of the recipe is 2.",
    )
    taken, said = recipes.said(recipes.PUBLISHED["test_RCAN"])
    assert (taken, "unknown key 'suffix' in the recipe." in said) == (False, True)


@pytest.mark.parametrize("name", ["train_BasicVSR_REDS", "train_EDVR_L_x4_SR_REDS", "test_DUF_official"])
def test_names_of_old_are_those_of_today(name: str, tmp_path: Path) -> None:
    old, new = tmp_path / "old.yml", tmp_path / "new.yml"
    recipe = recipes.PUBLISHED[name]
    new.write_text(yaml.safe_dump(recipe, sort_keys=False))
    old.write_text(yaml.safe_dump(recipes.older(recipe), sort_keys=False))
    assert old.read_text() != new.read_text()
    assert read_recipe(old).options == read_recipe(new).options
    assert any("by now" in note for note in read_recipe(old).notes)


@pytest.mark.parametrize("kind", FOREIGN)
def test_recipes_of_other_toolkits_are_recognised(kind: str, tmp_path: Path) -> None:
    name, text, toolkit = FOREIGN[kind]
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        read_recipe(tmp_path / name)
    assert caught.value.message == f"{tmp_path / name} is a recipe of {toolkit}, which mambair does not run."
    assert "docs/plugins.md" in caught.value.hint


def test_a_recipe_of_ours_may_be_json(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(recipes.PUBLISHED["test_EDSR_Mx4"]))
    assert read_recipe(tmp_path / "r.json").options["name"] == "published"


def test_stages_that_the_data_do_not_hold_are_mistakes(tmp_path: Path) -> None:
    recipe = recipes.PUBLISHED["train_RRDBNet_PSNR_x4"] | {"model_type": "MambaIRModel"}
    stages = [{"steps": 9, "gt_size": 196, "batch": 2}, {"steps": 9, "gt_size": 30, "batch": 33}]
    taken, said = recipes.said(recipe | {"train": recipe["train"] | {"progressive": stages}})
    assert not taken
    assert said.count("is no multiple of the scale up to datasets.train.gt_size, 192") == 2
    assert said.count("is no multiple of accumulate up to 16") == 1
