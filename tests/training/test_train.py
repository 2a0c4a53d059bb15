"""``mambair train`` before the first step, beside the steps, and after the last."""

import json
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from mambair_archs import MambaIR
from mambair_cli.errors import InputError, UsageError
from mambair_cli.training import datacheck
from mambair_cli.training.recipe.resolving import resolve
from mambair_cli.training.recipe.schema import RecipeModel
from tests.cli.run import run

from .conftest import MAMBAIR, checkpoint, edsr, mambair, rows, train


def image(path: Path, width: int, height: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))
    return path


def options(folder: Path, **more: object) -> dict[str, dict[str, object]]:
    base = {"name": "set", "phase": "train", "scale": 2, "gt_size": 16}
    return {"train": base | {"dataroot_gt": str(folder / "hr"), "dataroot_lq": str(folder / "lr")} | more}


def test_all_that_is_wrong_with_pairs_is_told_at_once(tmp_path: Path) -> None:
    for name in ("whole", "cut", "small", "scaled", "alone"):
        image(tmp_path / "hr" / f"{name}.png", 32, 24)
        image(tmp_path / "lr" / f"{name}.png", 16, 12)
    cut = tmp_path / "hr" / "cut.png"
    cut.write_bytes(cut.read_bytes()[:-20])
    image(tmp_path / "hr" / "small.png", 8, 32)
    image(tmp_path / "lr" / "small.png", 4, 16)
    image(tmp_path / "lr" / "scaled.png", 8, 6)
    (tmp_path / "lr" / "alone.png").rename(tmp_path / "lr" / "other.png")
    with pytest.raises(InputError) as caught:
        datacheck.check(options(tmp_path))
    for part in (
        "cut.png cannot be read",
        "small.png is 8x32, smaller than gt_size 16",
        "scaled.png is 32x24, not 2 times",
        "alone.png has no partner alone in",
        "other.png has no partner in",
    ):
        assert part in caught.value.message
    assert "whole" not in caught.value.message


def test_data_that_fits_is_counted(tmp_path: Path) -> None:
    for number in range(3):
        image(tmp_path / "hr" / f"{number}.png", 33, 24)  # one pixel more than a whole multiple
        image(tmp_path / "lr" / f"{number}x2.png", 16, 12)
    assert [report.images for report in datacheck.check(options(tmp_path, filename_tmpl="{}x2"))] == [3]
    photos = options(tmp_path, dataroot_lq=None, dataroot_gt=[str(tmp_path / "hr"), str(tmp_path / "lr")], gt_size=12)
    assert [report.images for report in datacheck.check(photos)] == [6]


def test_missing_and_empty_folders_are_told(place: Path) -> None:
    outcome = train(edsr(datasets__train__dataroot_gt="nowhere"))
    assert outcome.code == 1
    assert "nowhere does not exist" in outcome.err
    assert not Path("experiments").exists()
    Path("empty").mkdir()
    outcome = train(edsr(datasets__train__dataroot_gt=str(Path("empty").absolute())))
    assert (outcome.code, "no partner" in outcome.err) == (1, True)


def test_paths_are_below_the_root_or_the_working_folder(place: Path, data: Path) -> None:
    Path("hr").mkdir()
    recipe = edsr(datasets__train__dataroot_lq="lr2")
    full = resolve(RecipeModel.model_validate(recipe), data, cuda=False)
    assert full["datasets"]["train"]["dataroot_gt"] == str(data / "hr")
    assert full["datasets"]["train"]["dataroot_lq"] == str(data / "lr2")
    Path("lr2").mkdir()
    full = resolve(RecipeModel.model_validate(recipe), data, cuda=False)
    assert full["datasets"]["train"]["dataroot_lq"] == "lr2"
    assert full["path"]["models"] == str(place / "experiments" / "tiny" / "models")
    assert recipe["path"] == {}


def test_a_recipe_for_tests_is_refused(tmp_path: Path) -> None:
    recipe = edsr()
    del recipe["train"]
    with pytest.raises(UsageError, match="trains nothing"):
        resolve(RecipeModel.model_validate(recipe), tmp_path, cuda=False)


def test_dry_run_measures_and_writes_nothing(place: Path) -> None:
    Path("recipe.yml").write_text(yaml.safe_dump(mambair()), encoding="utf-8")
    before = set(place.rglob("*"))
    options = {name: value for name, value in MAMBAIR.items() if name != "type"}
    outcome = run("train", "recipe.yml", "--dry-run", "--json", "train.total_iter=1000")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert record["images"] == {"photos": 6, "few": 6}
    assert record["recipe"]["train"]["total_iter"] == 1000
    assert record["parameters"] == sum(value.numel() for value in MambaIR(**options).parameters())
    assert record["seconds_per_step"] > 0
    assert record["bytes"] > 1 << 20
    assert set(place.rglob("*")) == before
    assert "parameters" in run("train", "recipe.yml", "--dry-run").out


def test_a_run_leaves_curves_pictures_best_last_and_the_last_few(place: Path) -> None:
    recipe = edsr(val__save_img=True, logger__use_tb_logger=True, logger__save_checkpoint_freq=2)
    recipe["train"]["keep_last"] = 2
    assert train(recipe).code == 0
    folder = Path("experiments/tiny")
    assert {path.stem for path in (folder / "training_states").iterdir()} == {"10", "12"}
    assert {path.stem for path in (folder / "models").iterdir()} == {
        f"net_g_{end}" for end in ("10", "12", "best", "latest")
    }
    assert len(list(folder.glob("visualization/0/0_*.png"))) == 3
    assert next((folder / "tb_logger").iterdir()).stat().st_size > 500
    assert "12/12 few/psnr" in (folder / "train.log").read_text(encoding="utf-8")
    found = rows("tiny")
    assert [row["iter"] for row in found] == [3, 4, 6, 8, 9, 12, 12]
    values = {row["iter"]: row["few/psnr"] for row in found if "few/psnr" in row}
    best = max(values, key=lambda number: values[number])
    assert checkpoint("tiny", 12)[1]["mambair"]["best"] == {"metric": "psnr", "value": values[best], "iter": best}


def test_a_sample_that_cannot_be_loaded_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mambair_cli.training.sampling.Seeded.__getitem__", _fail)
    outcome = train(edsr(datasets__train__num_worker_per_gpu=1))
    assert outcome.code == 1
    assert "A training sample cannot be loaded: ValueError: this one." in outcome.err
    assert multiprocessing.active_children() == []


def _fail(self: object, key: tuple[int, int]) -> None:
    raise ValueError("this one")


def test_a_recipe_for_gpus_says_what_changes_without(place: Path) -> None:
    outcome = train(edsr(num_gpu=2, train__total_iter=2))
    assert outcome.code == 0
    assert "asks for 2 GPUs; there is none" in outcome.err
    assert "this run has 1: a step sees 4 samples" in outcome.err


def test_the_schema_is_printed_for_editors() -> None:
    result = run("train", "--schema")
    schema = json.loads(result.out)
    assert result.code == 0
    assert {"name", "network_g", "datasets", "train"} <= schema["properties"].keys()
