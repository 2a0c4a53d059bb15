"""Models written as safetensors, through the command."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

import mambair_cli
from mambair_archs.unets.umamba import UMamba
from mambair_cli.weights import digest
from tests.cli.run import run


def test_tensors_name_and_task_arrive(x1: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.safetensors"
    assert run("models", "export", str(x1), str(target), "--name", "mine", "--task", "denoise").code == 0
    stored = torch.load(x1, weights_only=True)["params"]
    written = load_file(target)
    assert written.keys() == stored.keys()
    assert all(torch.equal(written[key], stored[key]) for key in stored)
    model = mambair_cli.load_model(target)
    assert (model.name, model.task) == ("mine", "denoise")


def test_averaged_weights_are_taken_and_metadata_kept(x2: Path, tmp_path: Path) -> None:
    plain = torch.load(x2, weights_only=True)["params"]
    averaged = {key: value * 2 for key, value in plain.items()}
    source, first, second = tmp_path / "both.pth", tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    torch.save({"params": plain, "params_ema": averaged}, source)
    assert run("models", "export", str(source), str(first), "--name", "one", "--task", "upscale").code == 0
    assert run("models", "export", str(first), str(second)).code == 0
    written = load_file(second)
    assert all(torch.equal(written[key], averaged[key]) for key in averaged)
    with safe_open(second, framework="pt") as file:
        assert file.metadata() == {"name": "one", "task": "upscale", digest.KEY: digest.digest(written)}


def test_half_is_half_as_large_and_close(x2: Path, tmp_path: Path) -> None:
    target = tmp_path / "half.safetensors"
    assert run("models", "export", str(x2), str(target), "--half").code == 0
    stored = torch.load(x2, weights_only=True)["params"]
    for key, value in load_file(target).items():
        assert value.dtype == torch.float16
        torch.testing.assert_close(value.float(), stored[key], rtol=2**-11, atol=2**-24)
    assert mambair_cli.load_model(target).network.conv_first.weight.dtype == torch.float32  # type: ignore[union-attr]


def test_what_does_not_fit_is_refused_and_nothing_is_written(x2: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"kept")
    huge = torch.load(x2, weights_only=True)["params"]
    huge["conv_first.weight"][0, 0, 0, 0] = 1e6
    source = tmp_path / "huge.pth"
    torch.save({"params": huge}, source)
    target = tmp_path / "new.safetensors"
    for arguments, code, word in (
        ((str(x2), str(there)), 1, "exists"),
        ((str(x2), str(tmp_path / "new.pth")), 2, "safetensors"),
        ((str(x2), str(target), "--task", "denoise"), 2, "cannot denoise"),
        ((str(source), str(target), "--half"), 1, "range"),
        ((str(tmp_path / "none.pth"), str(target)), 1, "does not exist"),
    ):
        outcome = run("models", "export", *arguments)
        assert (outcome.code, word in outcome.err) == (code, True), outcome.err
    assert there.read_bytes() == b"kept"
    assert not target.exists()
    assert run("models", "export", str(x2), str(there), "--overwrite").code == 0


def test_tensors_of_two_names_are_written_under_both(tmp_path: Path) -> None:
    network = UMamba(features=[4, 8])
    source, target = tmp_path / "shared.pth", tmp_path / "shared.safetensors"
    torch.save({"params": network.state_dict()}, source)
    assert run("models", "export", str(source), str(target)).code == 0
    assert load_file(target).keys() == network.state_dict().keys()
