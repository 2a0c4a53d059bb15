"""``--model x.onnx``: files of ONNX through the pipeline for pictures."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mambair_archs import MambaIRDehaze
from tests.cli.run import run

pytest.importorskip("onnxruntime")
import onnx


@pytest.fixture(scope="module")
def weights(checkpoint: Callable[..., Path]) -> Path:
    return checkpoint(upscale=2, depths=(1,))


@pytest.fixture(scope="module")
def exported(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    assert run("export", str(weights), str(target)).code == 0
    return target


def test_pictures_equal_those_of_the_weights_within_one_level(
    weights: Path, exported: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    picture = tmp_path / "in.png"
    Image.fromarray(rng.integers(0, 256, (21, 35, 4), dtype=np.uint8)).save(picture)
    results = []
    for model in (weights, exported):
        out = tmp_path / f"{model.stem}.png"
        outcome = run("upscale", str(picture), "--model", str(model), "-o", str(out), "--tile", "24", "--ensemble")
        assert outcome.code == 0, outcome.err
        results.append(np.asarray(Image.open(out)).astype(int))
    assert results[0].shape == (42, 70, 4)
    assert abs(results[0] - results[1]).max() <= 1


def test_haze_is_removed_by_two_files(tmp_path: Path, rng: np.random.Generator) -> None:
    torch.manual_seed(0)
    network = MambaIRDehaze(dims=(8, 8, 8, 8), num_blocks=(1, 1, 1))
    torch.nn.init.normal_(network.output.weight, std=0.1)
    weights, target, picture = tmp_path / "haze.pth", tmp_path / "haze.onnx", tmp_path / "in.png"
    torch.save({"params": network.state_dict()}, weights)
    outcome = run("export", str(weights), str(target))
    assert outcome.code == 0, outcome.err
    assert outcome.out.split() == [str(tmp_path / "haze.look.onnx"), str(target)]
    Image.fromarray(rng.integers(0, 256, (60, 550, 3), dtype=np.uint8)).save(picture)  # larger than its view
    results = []
    for model in (weights, target):
        out = tmp_path / f"out{model.suffix}.png"
        outcome = run("dehaze", str(picture), "--model", str(model), "-o", str(out), "--tile", "96")
        assert outcome.code == 0, outcome.err
        results.append(np.asarray(Image.open(out)).astype(int))
    assert abs(results[0] - np.asarray(Image.open(picture))).max() > 10
    assert abs(results[0] - results[1]).max() <= 1
    outcome = run("dehaze", str(picture), "--model", str(target), "--strength", "1.5", "-o", str(tmp_path / "out.png"))
    assert outcome.code == 2
    assert "cannot do more than all of its change" in outcome.err
    (tmp_path / "haze.look.onnx").unlink()
    outcome = run("dehaze", str(picture), "--model", str(target), "-o", str(tmp_path / "out.png"))
    assert outcome.code == 1
    assert "haze.look.onnx cannot be read" in outcome.err


def test_a_file_says_what_it_is(exported: Path) -> None:
    outcome = run("--json", "models", "show", str(exported))
    shown = json.loads(outcome.out)
    assert (shown["network"], shown["scale"], shown["channels"]) == ("MambaIR (ONNX)", 2, 3)


def test_what_cannot_be_done_is_refused(weights: Path, exported: Path, tmp_path: Path) -> None:
    picture = tmp_path / "in.png"
    Image.new("RGB", (8, 8)).save(picture)
    stranger = tmp_path / "stranger.onnx"
    content = onnx.load(exported)
    del content.metadata_props[:]
    onnx.save(content, stranger)
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(exported.read_bytes()[:1000])
    for arguments, code, words in (
        (("--model", str(exported), "--provider", "abacus"), 1, "no provider abacus"),
        (("--model", str(weights), "--provider", "cpu"), 2, "no file of ONNX"),
        (("--model", str(exported), "--device", "cuda"), 2, "--provider"),
        (("--model", str(exported), "--device", "cpu,cpu"), 2, "several devices"),
        (("--model", str(exported), "--precision", "bf16"), 2, "exported"),
        (("--model", str(stranger)), 1, "not written by mambair export"),
        (("--model", str(broken)), 1, "cannot run"),
        (("--model", str(tmp_path / "no.onnx")), 1, "No such file"),
    ):
        outcome = run("upscale", str(picture), *arguments, "-o", str(tmp_path / "out.png"))
        assert (outcome.code, words in outcome.err) == (code, True), outcome.err
    assert not (tmp_path / "out.png").exists()
