"""The recipes that ship: read, built, and compared with what was published about them."""

import re
from functools import cache
from typing import Any

import jsonschema
import pytest
import torch
import yaml

from mambair_archs import registry
from mambair_cli.training.recipe.reading import Recipe, json_schema, packaged, read_recipe
from mambair_cli.weights import catalog

RECIPES = packaged()
TRAINING = sorted(name for name in RECIPES if "/test/" not in name)
TESTS = sorted(name for name in RECIPES if "/test/" in name)
TASKS = ("SR_x2", "SR_x3", "SR_x4", "denoise", "dejpeg", "dehaze")
OURS = {f"options/nano_{task}.yml" for task in TASKS}  # of the models that ship
BORROWED = {f"options/{stem}_x{scale}.yml" for stem in ("tpmambasr", "mair_lightSR") for scale in (2, 3, 4)}
BORROWED |= {"options/mair_colorDN_15.yml"}  # schedules of other networks, for those without a published recipe
BORROWED |= {f"options/{stem}.yml" for stem in ("uvm_dehaze", "vmambair_realDN", "umamba_realDN")}
PUBLISHED = sorted(set(TRAINING) - OURS - BORROWED)

PARAMETERS = {
    "lightSR_x2": 905_016,
    "lightSR_x3": 913_131,
    "lightSR_x4": 924_492,
    "SR_x2": 20_421_863,
    "SR_x3": 20_606_503,
    "SR_x4": 20_569_575,
    "colorDN_15": 15_777_507,
    "JPEG_10": 15_771_025,
    "realDN": 26_779_480,
    "v2_lightSR_x2": 774_092,
    "v2_lightSR_x3": 780_587,
    "v2_lightSR_x4": 789_680,
    "v2_SR_S_x2": 9_621_935,
    "v2_SR_S_x3": 9_806_575,
    "v2_SR_S_x4": 9_769_647,
    "v2_SR_B_x2": 22_903_001,
    "v2_SR_B_x3": 23_087_641,
    "v2_SR_B_x4": 23_050_713,
    "v2_SR_L_x2": 34_090_523,
    "v2_SR_L_x3": 34_275_163,
    "v2_SR_L_x4": 34_238_235,
    "v2_colorDN_15": 22_657_971,
    "mair_lightSR_x2": 1_354_680,
    "mair_lightSR_x4": 1_374_156,
    "tpmambasr_x2": 687_388,
    "tpmambasr_x3": 693_883,
    "tpmambasr_x4": 702_976,
    "v2_JPEG_10": 22_651_705,
}
"""Counted in the published networks."""

SCHEDULES = {
    # images per step, patch, thousands of steps, learning rate, loss
    "lightSR_x2": (32, 128, 500, 2e-4, "L1Loss"),
    "lightSR_x3": (32, 192, 500, 2e-4, "L1Loss"),
    "lightSR_x4": (32, 192, 500, 2e-4, "L1Loss"),
    "SR_x2": (32, 128, 500, 2e-4, "L1Loss"),
    "SR_x3": (64, 192, 250, 1e-4, "L1Loss"),
    "SR_x4": (32, 192, 250, 1e-4, "L1Loss"),
    "colorDN_15": (16, 128, 1600, 2e-4, "CharbonnierLoss"),
    "colorDN_50": (16, 128, 800, 1e-4, "CharbonnierLoss"),
    "JPEG_40": (16, 126, 1600, 2e-4, "CharbonnierLoss"),
    "JPEG_10": (16, 126, 800, 1e-4, "CharbonnierLoss"),
    "v2_lightSR_x4": (32, 192, 500, 2e-4, "L1Loss"),
    "v2_SR_S_x3": (32, 192, 250, 1e-4, "L1Loss"),
    "v2_SR_L_x4": (32, 192, 250, 1e-4, "L1Loss"),
    "v2_colorDN_25": (16, 128, 800, 1e-4, "CharbonnierLoss"),
    "v2_JPEG_30": (16, 126, 800, 1e-4, "CharbonnierLoss"),
    "realDN": (8, 128, 300, 3e-4, "L1Loss"),
}
"""From the published files, but for the patch of realDN."""


@cache
def read(name: str) -> Recipe:
    return read_recipe(RECIPES[name])


@cache
def exported() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema())


def options(stem: str) -> dict[str, Any]:
    return read(f"options/{stem}.yml").options


def build(network: dict[str, Any]) -> torch.nn.Module:
    arguments = {key: value for key, value in network.items() if key != "type"}
    with torch.device("meta"):
        return registry.get(network["type"]).network(**arguments)


def test_the_published_set_is_complete() -> None:
    assert (len(PUBLISHED), len(TESTS), len(BORROWED)) == (31, 32, 10)
    untested = {"v2_colorDN_25", "v2_colorDN_50"}  # for which no weights were published
    untested |= {"uvm_dehaze", "vmambair_realDN", "umamba_realDN"}
    untested |= {f"mair_{stem}" for stem in ("colorDN_15", *(f"lightSR_x{scale}" for scale in (2, 3, 4)))}
    assert {name.rpartition("/")[2] for name in [*PUBLISHED, *BORROWED]} - {f"{stem}.yml" for stem in untested} == {
        name.rpartition("/")[2] for name in TESTS
    }


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_read_without_notes_and_fits_the_exported_schema(name: str) -> None:
    assert read(name).notes == ()
    stem = name.rpartition("/")[2].removesuffix(".yml")
    assert read(name).options["name"] == (stem if name in TRAINING else f"test_{stem}")
    exported().validate(yaml.safe_load(read(name).text))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_it_is_what_it_needs_and_how_it_is_started(name: str) -> None:
    text = read(name).text
    what, _, needs, run = text.splitlines()[:4]
    assert re.fullmatch(r"# \S.*: .+\.", what)
    assert re.fullmatch(r"# Needs:  mambair fetch \S.*", needs)
    assert run.endswith(f" {'train' if name in TRAINING else 'test'} {name}")
    models = {word for word in needs.split()[4:] if catalog.by_name(word)}
    used = read(name).text.partition("pretrain_network_g: ")[2].split()[0]
    bundled = {entry.name for entry in catalog.entries() if entry.bundled}
    assert models == ({used} - {"~"} - bundled)
    assert max(map(len, text.splitlines())) <= 105


@pytest.mark.parametrize("stem", PARAMETERS)
def test_networks_have_the_published_size(stem: str) -> None:
    network = build(options(stem)["network_g"])
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[stem]


def test_tests_have_the_networks_of_their_training() -> None:
    for name in TESTS:
        stem = name.rpartition("/")[2].removesuffix(".yml")
        assert read(name).options["network_g"] == options(stem)["network_g"]


def test_the_other_networks_equal_one_of_these() -> None:
    measured = [options(stem)["network_g"] for stem in PARAMETERS]
    for name in PUBLISHED:
        assert read(name).options["network_g"] in measured


@pytest.mark.parametrize("stem", SCHEDULES)
def test_schedules_are_the_published_ones(stem: str) -> None:
    recipe = options(stem)
    train, data = recipe["train"], recipe["datasets"]["train"]
    per_step = recipe["num_gpu"] * data["batch_size_per_gpu"]
    loss = train["pixel_opt"]["type"]
    found = (per_step, data["gt_size"], train["total_iter"] / 1000, train["optim_g"]["lr"], loss)
    assert found == SCHEDULES[stem]


def test_milestones_are_at_the_published_shares_of_the_steps() -> None:
    for name in PUBLISHED:
        train = read(name).options["train"]
        if "milestones" in train["scheduler"]:
            shares = [step / train["total_iter"] for step in train["scheduler"]["milestones"]]
            upscaling = read(name).options["scale"] > 1
            assert shares == ([0.5, 0.8, 0.9, 0.95] if upscaling else [0.5, 0.75, 0.875, 0.9375])


def test_the_launch_line_for_one_gpu_keeps_the_batch() -> None:
    for name in PUBLISHED:
        recipe, text = read(name), read(name).text
        gpus = recipe.options["num_gpu"]
        per_step = gpus * recipe.options["datasets"]["train"]["batch_size_per_gpu"]
        assert f"--nproc-per-node {gpus} " in text
        assert f"mambair train {name} train.accumulate={gpus}\n" in text
        assert f" = {per_step} images per step" in text


def test_weights_are_those_of_the_catalogue() -> None:
    for name in TESTS:
        recipe = read(name)
        weights = recipe.options["path"]["pretrain_network_g"]
        entry = next(entry for entry in catalog.entries() if str(entry.path.absolute()) == weights)
        assert (entry.scale, entry.arch) == (recipe.options["scale"], recipe.options["network_g"]["type"])
