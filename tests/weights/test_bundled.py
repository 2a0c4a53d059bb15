"""The models that come with the package do their work, and say how they were made."""

import cv2
import numpy as np
import pytest

import mambair_cli
from mambair_cli.data.resize import imresize
from mambair_cli.images.picture import Pixels
from mambair_cli.metrics.psnr import psnr
from mambair_cli.weights import catalog
from tests.cli.run import run

BUNDLED = [entry for entry in catalog.entries() if entry.bundled]
MAX_ONE, MAX_ALL = 1 << 20, 6 << 20


def drawing(rng: np.random.Generator) -> Pixels:
    """Lines, discs and letters on a slope of colours: edges of every direction, and no photo of the training set."""
    slope = np.linspace(40, 200, 192)
    picture = np.stack(np.broadcast_arrays(slope[:, None], slope[None], 120.0), axis=-1).astype(np.uint8)
    for _ in range(12):
        colour = tuple(map(int, rng.integers(0, 255, 3)))
        places = [tuple(map(int, place)) for place in rng.integers(10, 182, (2, 2))]
        cv2.line(picture, places[0], places[1], colour, int(rng.integers(1, 5)), cv2.LINE_AA)
        cv2.circle(picture, places[0], int(rng.integers(4, 20)), colour, -1, cv2.LINE_AA)
        cv2.putText(picture, "Mamba", places[1], cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 1, cv2.LINE_AA)
    return picture


def test_there_are_some_and_they_are_small() -> None:
    sizes = [entry.path.stat().st_size for entry in BUNDLED]
    assert sizes
    assert max(sizes) <= MAX_ONE
    assert sum(sizes) <= MAX_ALL


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda entry: entry.name)
def test_card_and_file_agree_with_the_catalogue(entry: catalog.Entry) -> None:
    card = entry.path.with_suffix(".md").read_text(encoding="utf-8")
    for heading in ("## Data", "## Training", "## Scores", "## Limits"):
        assert heading in card
    model = mambair_cli.load_model(entry.name)
    assert (model.task, model.descriptor.scale) == (entry.task, entry.scale)
    assert all(f"{score:.2f}" in card for score in entry.psnr.values())


@pytest.mark.parametrize("entry", [entry for entry in BUNDLED if entry.scale > 1], ids=lambda entry: entry.name)
def test_enlarging_beats_bicubic(entry: catalog.Entry) -> None:
    high = drawing(np.random.default_rng(3))
    low = imresize(high, 1 / entry.scale)
    found = mambair_cli.restore(low, mambair_cli.load_model(entry.name))
    bicubic = imresize(low, entry.scale)
    gain = psnr(found, high, entry.scale, y_channel=True) - psnr(bicubic, high, entry.scale, y_channel=True)
    assert gain > 0.5


def test_models_list_shows_them_first() -> None:
    lines = run("models", "list").out.splitlines()[1:]
    assert [line.split()[0] for line in lines if line.strip()][: len(BUNDLED)] == [entry.name for entry in BUNDLED]
