"""Recipes as MambaIR's authors publish them: what their code swallowed, or did in its own datasets."""

from pathlib import Path

import pytest

from mambair_cli.training.recipe.reading import RecipeError, read_recipe
from tests.cli.run import run

from .recipes import broken, write

PLAIN = ["model_type=MambaIRModel", "scale=1", "network_g={type: MambaIR, upscale: 1, depths: [2], img_size: 128}"]
GRAY = [*PLAIN[:2], "network_g={type: MambaIRv2, upscale: 1, in_chans: 1, depths: [2], num_heads: [4]}"]


def test_swallowed_options_are_noted_and_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, broken(("  embed_dim: 60", "  embed_dim: 60\n  window_size: 16\n  num_heads: [6, 6]")))
    recipe = read_recipe(path)
    assert recipe.options["network_g"].keys().isdisjoint({"window_size", "num_heads"})
    assert recipe.notes == (
        f"{path}:29:3: network_g.window_size: MambaIR has no such option; ignored, as published code does.",
        f"{path}:30:3: network_g.num_heads: MambaIR has no such option; ignored, as published code does.",
    )


def test_an_option_that_would_have_changed_the_network_is_not_swallowed(tmp_path: Path) -> None:
    assert read_recipe(write(tmp_path), ["network_g.patch_size=1"]).notes
    with pytest.raises(RecipeError, match="unknown key 'patch_size' in network_g"):
        read_recipe(write(tmp_path), ["network_g.patch_size=2"])


def test_models_under_other_names_are_ours(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path), ["model_type=MambaIRv2LightModel"])
    assert recipe.options["model_type"] == "MambaIRModel"
    assert "MambaIRv2LightModel is MambaIRModel here" in recipe.notes[0]


def test_pairs_of_one_folder_for_noise_become_photos_with_noise(tmp_path: Path) -> None:
    task = ["datasets.train.task=denoising_color", "datasets.train.noise=15"]
    recipe = read_recipe(write(tmp_path), [*PLAIN, *task])
    train = recipe.options["datasets"]["train"]
    assert (train["type"], train["degradation"]) == ("PhotoPatchDataset", {"type": "noise", "sigma": [15, 15]})
    assert train.keys().isdisjoint({"task", "noise", "dataroot_lq", "io_backend", "filename_tmpl"})
    assert (train["gt_size"], train["batch_size_per_gpu"]) == (96, 4)


def test_compressed_pairs_are_made_from_the_clean_ones(tmp_path: Path) -> None:
    val = "datasets.val={name: v, task: CAR, type: PairedImageDataset, dataroot_gt: v, dataroot_lq: v/10}"
    task = ["datasets.train.task=CAR", "datasets.train.dataroot_lq=DFWB/LQ/10", val]
    data = read_recipe(write(tmp_path), [*GRAY, *task]).options["datasets"]
    assert data["train"]["degradation"] == {"type": "jpeg", "quality": [10, 10]}
    assert (data["val"]["type"], data["val"]["dataroot_lq"]) == ("PhotoFolderDataset", "v/10")
    assert data["train"]["gray"] is data["val"]["gray"] is True


def test_a_task_that_says_too_little_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"unknown key 'task' in datasets\.train"):
        read_recipe(write(tmp_path), [*PLAIN, "datasets.train.task=denoising_color"])


def test_authors_folders_are_noted_and_lists_of_one_are_opened(tmp_path: Path) -> None:
    overrides = ["datasets.train.task=SR", "datasets.train.dataroot_gt=[/home/author/HQ]"]
    recipe = read_recipe(write(tmp_path), overrides)
    assert recipe.options["datasets"]["train"]["dataroot_gt"] == "/home/author/HQ"
    assert any("dataroot_gt: no such folder on this machine" in note for note in recipe.notes)
    assert not any(
        "no such folder" in note for note in read_recipe(write(tmp_path), ["datasets.train.dataroot_gt=/"]).notes
    )


def test_what_no_published_code_reads_is_ignored_in_tests(tmp_path: Path) -> None:
    val = "val={val_freq: 5, selfensemble_testing: false, patchwise_testing: false}"
    recipe = read_recipe(write(tmp_path), [val])
    assert len(recipe.notes) == 2
    assert recipe.options["val"] == {"val_freq": 5, "save_img": False, "suffix": None, "pbar": False}


@pytest.mark.parametrize("arguments", [("train", "--dry-run"), ("test",)])
def test_commands_say_what_became_of_a_published_recipe(arguments: tuple[str, ...], tmp_path: Path) -> None:
    outcome = run(*arguments, str(write(tmp_path)), "network_g.window_size=8", "--root", str(tmp_path))
    assert "network_g.window_size: MambaIR has no such option; ignored" in outcome.err
    assert outcome.code != 0  # there are no images, and no weights


@pytest.mark.parametrize("arguments", [("train", "--dry-run"), ("test",)])
def test_commands_refuse_a_broken_recipe_as_wrong_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    outcome = run(*arguments, str(write(tmp_path)), "sclae=2", "--root", str(tmp_path))
    assert (outcome.code, outcome.out) == (2, "")
    assert "override 'sclae=2', character 1: unknown key 'sclae' in the recipe. Did you mean 'scale'?" in outcome.err
    assert "Traceback" not in outcome.err
