"""Folders as the Hugging Face hub has them, written and read without a network."""

import json
from pathlib import Path

import pytest
import torch

from mambair_cli import Model, load_model
from tests.cli.run import run


@pytest.fixture
def folder(x1: Path, tmp_path: Path) -> Path:
    target = tmp_path / "mine"
    outcome = run("models", "export", str(x1), str(target), "--hub", "--name", "mine", "--task", "denoise")
    assert outcome.code == 0, outcome.err
    return target


def test_a_folder_holds_weights_configuration_and_a_card(folder: Path, x1: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    config = json.loads((folder / "config.json").read_text())
    assert (config["architecture"], config["task"], config["options"]["embed_dim"]) == ("MambaIR", "denoise", 30)
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: mambair\n")
    assert "# mine" in card
    wanted, model = load_model(x1, "cpu"), load_model(folder, "cpu")
    assert (model.name, model.task) == ("mine", "denoise")
    for value, same in zip(wanted.network.parameters(), model.network.parameters(), strict=True):
        assert torch.equal(value, same)


def test_the_hubs_own_mixin_loads_it_offline(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = Model.from_pretrained(str(folder), device="cpu")
    assert (model.name, model.architecture, model.device.type) == ("mine", "MambaIR", "cpu")


def test_what_is_there_is_kept(folder: Path, x1: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("my own words")
    outcome = run("models", "export", str(x1), str(folder), "--hub")
    assert outcome.code == 1
    assert "not empty" in outcome.err
    assert (folder / "README.md").read_text() == "my own words"
    assert run("models", "export", str(x1), str(folder), "--hub", "--overwrite").code == 0
    assert "my own words" not in (folder / "README.md").read_text()
    assert run("models", "export", str(x1), str(x1), "--hub", "--overwrite").code == 1
    assert run("models", "export", str(x1), str(tmp_path / "new"), "--hub", "--task", "upscale").code == 2
    assert not (tmp_path / "new").exists()
