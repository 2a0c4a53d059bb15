"""``mambair dehaze`` and ``mambair test`` with a network that sees the whole picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mambair_archs import MambaIRDehaze
from mambair_cli.images.decode import decode
from tests.cli.run import run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(2)
    network = MambaIRDehaze(dims=(8, 8, 8, 8), num_blocks=(1, 1, 1), num_decoder_blocks=(1, 1), d_state=2)
    torch.nn.init.normal_(network.output.weight, std=0.1)
    torch.save({"params": network.state_dict()}, tmp_path / "haze.pth")
    return tmp_path / "haze.pth"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("set/hazy", "set/clear"):
        Path(folder).mkdir(parents=True)
        cv2.imwrite(f"{folder}/a.png", rng.integers(0, 256, (90, 600, 3), np.uint8))


def test_a_picture_wider_than_the_view_has_no_seams(model: Path) -> None:
    source = "set/hazy/a.png"
    for output, *options in (["whole.png", "--tile", "0"], ["tiled.png", "--tile", "64"], ["usual.png"]):
        assert run("dehaze", source, "-o", output, "--model", str(model), *options).code == 0
    whole = decode(Path("whole.png")).pixels
    assert (whole != decode(Path(source)).pixels).any()
    assert np.array_equal(decode(Path("tiled.png")).pixels, whole)
    assert np.array_equal(decode(Path("usual.png")).pixels, whole)


def test_it_is_for_nothing_else(model: Path) -> None:
    outcome = run("denoise", "set/hazy/a.png", "--model", str(model))
    assert outcome.code == 2
    assert "is for dehaze, not for denoise" in outcome.err


def test_pairs_of_hazy_and_clear_pictures_are_measured_in_colour(model: Path) -> None:
    outcome = run("test", "--model", str(model), "--data", "set", "-o", "out")
    assert outcome.code == 0, outcome.err
    restored, clear = (decode(Path(f"{folder}/a.png")).pixels.astype(float) for folder in ("out/set", "set/clear"))
    assert f"{10 * np.log10(255**2 / np.square(restored - clear).mean()):.2f}" in outcome.out
