"""The models that come with the package do their work, and say how they were made."""

import itertools
from collections.abc import Callable

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
MAX_NANO, MAX_U_SHAPED, MAX_ALL_NANO, MAX_BEST = 1 << 20, 5 << 19, 8 << 20, 3 << 20


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
    sizes = {entry.name: entry.path.stat().st_size for entry in BUNDLED}
    nano = {name: size for name, size in sizes.items() if name.startswith("mambair-nano-")}
    assert sum(nano.values()) <= MAX_ALL_NANO
    assert nano.pop("mambair-nano-denoise") <= MAX_U_SHAPED
    assert max(nano.values()) <= MAX_NANO
    assert sizes.keys() - nano.keys() == {"mambair-nano-denoise", "mambair-small-x4"}
    assert sizes["mambair-small-x4"] <= MAX_BEST


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda entry: entry.name)
def test_card_and_file_agree_with_the_catalogue(entry: catalog.CatalogEntry) -> None:
    card = entry.path.with_suffix(".md").read_text(encoding="utf-8")
    for heading in ("## Data", "## Training", "## Scores", "## Limits"):
        assert heading in card
    model = mambair_cli.load_model(entry.name)
    assert (model.task, model.descriptor.scale) == (entry.task, entry.scale)
    assert all(f"{score:.2f}" in card for score in entry.psnr.values())


@pytest.mark.parametrize(
    "entry", [entry for entry in BUNDLED if entry.scale > 1 and not entry.instead_of], ids=lambda entry: entry.name
)
def test_enlarging_beats_bicubic(entry: catalog.CatalogEntry) -> None:
    high = drawing(np.random.default_rng(3))
    low = imresize(high, 1 / entry.scale)
    found = mambair_cli.restore(low, mambair_cli.load_model(entry.name))
    bicubic = imresize(low, entry.scale)
    gain = psnr(found, high, entry.scale, y_channel=True) - psnr(bicubic, high, entry.scale, y_channel=True)
    assert gain > 0.5


@pytest.mark.parametrize("size", [(24, 40), (37, 29)])
@pytest.mark.parametrize(
    "entry", [entry for entry in BUNDLED if entry.scale > 1 and not entry.instead_of], ids=lambda entry: entry.name
)
def test_pure_colours_stay_up_to_the_border(entry: catalog.CatalogEntry, size: tuple[int, int]) -> None:
    model = mambair_cli.load_model(entry.name)
    for colour in itertools.product((0, 255), repeat=3):
        found = mambair_cli.restore(np.full((*size, 3), colour, np.uint8), model)
        assert np.abs(found.astype(int) - colour).max() <= 2, colour


def hazy(picture: Pixels) -> Pixels:
    """I = J * t + A * (1 - t), thicker to the right."""
    through = np.linspace(0.7, 0.3, picture.shape[1])[None, :, None]
    return np.rint(picture * through + 215 * (1 - through)).astype(np.uint8)


def noisy(picture: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 25, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def compressed(picture: Pixels) -> Pixels:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 10])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


HARM: dict[str, tuple[Callable[[Pixels], Pixels], float]] = {
    "dehaze": (hazy, 3),
    "denoise": (noisy, 6),
    "dejpeg": (compressed, 0.7),
}


@pytest.mark.parametrize("entry", [entry for entry in BUNDLED if entry.scale == 1], ids=lambda entry: entry.name)
def test_harm_is_undone(entry: catalog.CatalogEntry) -> None:
    picture = drawing(np.random.default_rng(3))
    harm, gain = HARM[entry.task]
    found = mambair_cli.restore(harm(picture), mambair_cli.load_model(entry.name))
    assert psnr(found, picture) - psnr(harm(picture), picture) > gain


def test_models_list_shows_them_first() -> None:
    rows = [line.split() for line in run("models", "list").out.splitlines()[1:] if line.startswith("  ")]
    assert [row[0] for row in rows][: len(BUNDLED)] == [entry.name for entry in BUNDLED]


@pytest.mark.parametrize("entry", [entry for entry in BUNDLED if entry.instead_of], ids=lambda entry: entry.name)
def test_models_for_poor_pictures_take_noise_away(entry: catalog.CatalogEntry) -> None:
    rng = np.random.default_rng(3)
    flat = (120 + rng.normal(0, 25, (48, 64, 3))).round().clip(0, 255).astype(np.uint8)

    def noise(name: str, scale: int) -> float:
        return float(mambair_cli.restore(flat, mambair_cli.load_model(name), scale=scale).std())

    for name in entry.instead_of:
        other = catalog.by_name(name)
        assert other is not None
        assert noise(entry.name, other.scale) < 0.9 * noise(name, other.scale)
