"""Models and settings that do not fit are refused before the first file, with a way out that leads somewhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import save_file

from mambair_cli import load_model, restore
from mambair_cli.errors import ModelError, UsageError
from mambair_cli.weights.loader import load
from tests.cli.run import run


@pytest.fixture
def labelled(tmp_path: Path) -> Callable[..., str]:
    """Writes the tensors of a checkpoint with metadata."""

    def make(checkpoint: Path, **metadata: str) -> str:
        path = tmp_path / "labelled.safetensors"
        save_file(load(checkpoint).network.state_dict(), path, metadata)
        return str(path)

    return make


def test_metadata_is_shown_as_it_stands(labelled: Callable[..., str], x2: Path) -> None:
    outcome = run("models", "show", labelled(x2, name="[/b]oops", task="[red]"))
    assert outcome.code == 0
    assert "[/b]oops" in outcome.out
    assert "[red]" in outcome.out


def test_doctor_shows_the_environment_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMBAIR_DATA", "[/b]oops")
    outcome = run("doctor")
    assert outcome.code == 0
    assert "[/b]oops" in outcome.out


def test_doctor_reports_a_backend_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMBAIR_SCAN_BACKEND", "abacus")
    outcome = run("doctor")
    assert outcome.code == 1
    assert "Scan backend" in outcome.out
    assert "MAMBAIR_SCAN_BACKEND=abacus names no scan backend that works here." in outcome.err


def test_a_task_that_the_weights_cannot_do_counts_as_unknown(labelled: Callable[..., str], x1: Path) -> None:
    for task in ("upscale", "derain"):
        outcome = run("upscale", "none.png", "--model", labelled(x1, task=task, name="odd"))
        assert outcome.code == 2
        assert "odd is for dehaze or dejpeg or denoise, not for upscale." in outcome.err
        assert "Use mambair dehaze or mambair dejpeg or mambair denoise." in outcome.err
        assert "none.png does not exist" in run("denoise", "none.png", "--model", labelled(x1, task=task)).err


def test_a_known_task_names_its_command(labelled: Callable[..., str], x1: Path) -> None:
    outcome = run("denoise", "none.png", "--model", labelled(x1, task="dejpeg", name="odd"))
    assert outcome.code == 2
    assert "Error: The model odd is for dejpeg, not for denoise.\nHint: Use mambair dejpeg.\n" in outcome.err


def test_the_task_is_looked_at_before_the_scale(x1: Path) -> None:
    assert "not for upscale" in run("upscale", "none.png", "--scale", "4", "--model", str(x1)).err


def test_a_mistyped_model_gets_a_suggestion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("upscale", "none.png", "--model", "mambairv2-lihgt-x4")
    assert outcome.code == 1
    assert "There is no model mambairv2-lihgt-x4." in outcome.err
    assert "Did you mean mambairv2-light-x4?" in outcome.err


def test_a_network_for_other_channels_is_refused(checkpoint: Callable[..., Path]) -> None:
    path = checkpoint(in_chans=4)
    outcome = run("upscale", "none.png", "--model", str(path))
    assert outcome.code == 1
    assert "works on 4 channels" in outcome.err
    assert "none.png" not in outcome.err
    with pytest.raises(ModelError, match="4 channels"):
        restore(np.zeros((4, 4, 3), np.uint8), load_model(path))


def test_arrays_in_any_byte_order(x2: Path, rng: np.random.Generator) -> None:
    model = load_model(x2)
    for dtype in ("u2", "f4"):
        pixels = (rng.random((6, 7, 3)) * (60000 if dtype == "u2" else 1)).astype(dtype)
        found = restore(pixels.astype(f">{dtype}"), model)
        assert np.array_equal(found, restore(pixels, model))
        assert found.dtype == pixels.dtype


@pytest.mark.parametrize(
    ("image", "options", "message"),
    [
        ([[0, 1]], {}, "list"),
        (np.zeros((4, 4), np.int32), {}, "int32"),
        (np.zeros((4, 4, 5), np.uint8), {}, r"\(4, 4, 5\)"),
        (np.zeros((4, 4), np.uint8), {"tile": 4.0}, r"tile = 4\.0"),
        (np.zeros((4, 4), np.uint8), {"overlap": "2"}, "overlap = '2'"),
    ],
)
def test_arguments_that_make_no_sense(image: Any, options: dict[str, Any], message: str, x2: Path) -> None:
    with pytest.raises(UsageError, match=message):
        restore(image, load_model(x2), **options)
