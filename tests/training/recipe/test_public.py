"""Recipes that BasicSR comes with are taken, and those of other toolkits are recognised."""

import json
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("kind", recipes.KINDS)
def test_every_kind_of_basicsrs_recipes_is_taken(kind: str) -> None:
    taken, said = recipes.said(recipes.KINDS[kind])
    assert taken, said


def test_names_of_old_are_those_of_today(tmp_path: Path) -> None:
    path = tmp_path / "r.yml"
    path.write_text(yaml.safe_dump(recipes.KINDS["older names of keys (12)"], sort_keys=False))
    recipe = read_recipe(path)
    paths: dict[str, Any] = recipe.options["path"]
    assert (paths["pretrain_network_g"], paths["strict_load_g"]) == ("x.pth", False)
    assert recipe.options["datasets"]["train"]["use_hflip"] is True
    assert sum("by now" in note for note in recipe.notes) == 3


@pytest.mark.parametrize("kind", FOREIGN)
def test_recipes_of_other_toolkits_are_recognised(kind: str, tmp_path: Path) -> None:
    name, text, toolkit = FOREIGN[kind]
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        read_recipe(tmp_path / name)
    assert caught.value.message == f"{tmp_path / name} is a recipe of {toolkit}, which mambair does not run."
    assert "docs/plugins.md" in caught.value.hint


def test_a_recipe_of_ours_may_be_json(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps(recipes.KINDS["EDSR, test (6)"]))
    assert read_recipe(tmp_path / "r.json").options["name"] == "published"


def test_stages_that_the_data_do_not_hold_are_mistakes(tmp_path: Path) -> None:
    recipe = recipes.KINDS["EDSR, train (6)"] | {"model_type": "MambaIRModel"}
    stages = [{"steps": 9, "gt_size": 132, "batch": 2}, {"steps": 9, "gt_size": 30, "batch": 3}]
    taken, said = recipes.said(recipe | {"train": recipe["train"] | {"progressive": stages}})
    assert not taken
    assert said.count("is no multiple of the scale up to datasets.train.gt_size, 128") == 2
    assert said.count("is no multiple of accumulate up to 2") == 1
