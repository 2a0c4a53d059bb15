"""A run has its folder to itself, and says there what it was made of."""

import json
import subprocess
from pathlib import Path
from typing import Any

import filelock
import pytest
import yaml

from mambair_cli.training import claim, journal
from mambair_cli.training.recipe.reading import read_recipe

from .conftest import checkpoint, differences, edsr, rows, train


def test_a_second_run_in_the_same_folder_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "PATIENCE", 0.1)
    Path("experiments").mkdir()
    with filelock.FileLock("experiments/.tiny.lock"):
        outcome = train(edsr(train__total_iter=1))
        assert (outcome.code, "Another run is training in" in outcome.err) == (2, True)
        assert train(edsr(train__total_iter=1), "name=other").code == 0
    assert not Path("experiments/tiny").exists()
    assert train(edsr(train__total_iter=1)).code == 0


def test_the_recorded_recipe_trains_the_same(place: Path) -> None:
    assert train(edsr(), "train.optim_g.lr=5e-4", "train.total_iter=6").code == 0
    kept = yaml.safe_load(Path("experiments/tiny/recipe.yml").read_text(encoding="utf-8"))
    assert (kept["train"]["optim_g"]["lr"], kept["train"]["total_iter"]) == (5e-4, 6)
    assert train({**kept, "name": "again"}).code == 0
    assert differences(checkpoint("tiny", 6)[0], checkpoint("again", 6)[0]) == []


def test_each_run_is_recorded_with_overrides_versions_and_commit(place: Path) -> None:
    assert train(edsr(), "train.total_iter=5").code == 0
    assert train(edsr(), "train.total_iter=6").code == 0
    text = Path("experiments/tiny/runs.jsonl").read_text(encoding="utf-8")
    first, second = (json.loads(line) for line in text.splitlines())
    assert (first["iter"], second["iter"]) == (0, 5)
    assert second["overrides"] == ["train.total_iter=6"]
    assert {"python", "torch"} <= second["versions"].keys()
    assert second["recipe"] == "recipe.yml"


def test_the_commit_is_that_of_the_checkout_and_tells_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    file = tmp_path / "a.py"
    file.write_text("1", encoding="utf-8")
    git("init", "-q")
    assert claim.commit(file) is None
    git("add", "a.py")
    git("commit", "-q", "-m", "a")
    assert claim.commit(file) == git("rev-parse", "HEAD")
    file.write_text("2", encoding="utf-8")
    assert claim.commit(file) == git("rev-parse", "HEAD") + "+"


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_rows_are_json_whatever_the_numbers(tmp_path: Path) -> None:
    book = journal.Journal(tmp_path, 0)
    book.row(iter=1, l_pix=float("nan"), psnr=float("inf"), lr=0.1)
    book.close()
    row = strict((tmp_path / "log.jsonl").read_text(encoding="utf-8"))
    assert row == {"iter": 1, "l_pix": None, "psnr": None, "lr": 0.1}


def test_what_a_power_failure_left_in_the_log_is_cut_off(place: Path) -> None:
    assert train(edsr(train__total_iter=5)).code == 0
    with Path("experiments/tiny/log.jsonl").open("ab") as file:
        file.write(b"\0\0\0\n[]\n")
    assert train(edsr(train__total_iter=6)).code == 0
    assert rows("tiny")[-1]["iter"] == 6


@pytest.mark.parametrize("name", ["options/lightSR_x2.yml", "options/nano_dehaze.yml"])
def test_packaged_recipes_survive_the_way_through_the_record(tmp_path: Path, name: str) -> None:
    recipe = read_recipe(name)
    claim.record(tmp_path, recipe, 0)
    assert read_recipe(tmp_path / "recipe.yml").options == recipe.options
