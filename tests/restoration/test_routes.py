"""A picture comes out alike in memory and in bands: pixels, notes, and what is estimated of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from torch import Tensor, nn

from mambair_cli.images.decode import decode
from mambair_cli.images.picture import Pixels
from mambair_cli.restoration import stream
from mambair_cli.restoration.choices import Choices
from mambair_cli.restoration.picture import Run
from mambair_cli.restoration.result import Job, Result
from mambair_cli.weights.loader import load
from mambair_cli.weights.model import Model
from tests.images.test_bands import ICC, exif, waves


def by_opencv(path: Path, pixels: Pixels) -> None:
    cv2.imwrite(str(path), pixels)


def hidden() -> Pixels:
    """With pixels that nobody sees, whose colours mean nothing."""
    pixels = waves(4, np.uint8, 151, 91)
    pixels[40:90, 20:60, 3] = 0
    pixels[90:100, 20:60, 3] = 60
    return pixels


PICTURES: dict[str, Callable[[Path], None]] = {
    "gray.png": lambda path: by_opencv(path, waves(1, np.uint8, 121, 83)),
    "gray and alpha.png": lambda path: Image.fromarray(waves(2, np.uint8), "LA").save(path),
    "hidden.png": lambda path: Image.fromarray(hidden()).save(path),
    "deep.png": lambda path: by_opencv(path, waves(4, np.uint16)),
    "deep.tif": lambda path: by_opencv(path, waves(3, np.uint16, 133, 77)),
    "palette.png": lambda path: Image.fromarray(waves(3, np.uint8)).quantize(19).save(path),
    "turned.jpg": lambda path: Image.fromarray(waves(3, np.uint8)).save(path, exif=exif(6), icc_profile=ICC),
    "cmyk.jpg": lambda path: Image.fromarray(waves(3, np.uint8)).convert("CMYK").save(path, quality=90),
    "tall.png": lambda path: by_opencv(path, waves(3, np.uint8, 401, 5)),
    "wide.png": lambda path: by_opencv(path, waves(3, np.uint8, 5, 401)),
}


@pytest.fixture(scope="module")
def enlarging(checkpoint: Callable[..., Path]) -> Model:
    return load(checkpoint(upscale=2), "cpu")


@pytest.fixture(scope="module")
def keeping(checkpoint: Callable[..., Path]) -> Model:
    return load(checkpoint(upscale=1, upsampler=""), "cpu")


class Negative(nn.Module):
    """The opposite of a network."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = 1 - self.network(x)
        return y


def restored(
    source: Path, target: Path, model: Model, choices: Choices, streamed: bool, for_poor: Model | None = None
) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "needed", lambda *_, **__: streamed)
        work = Run(model, choices, for_poor=for_poor).new(Job(source, target))
        work.begin()
        assert work.result.error or (work.picture is None) is streamed
        if not work.over:
            work.restore(lambda done, total: None)
        work.finish()
    return work.result


def check(source: Path, model: Model, choices: Choices, suffix: str = ".png", for_poor: Model | None = None) -> Result:
    """Restore by both routes, and compare."""
    targets = [source.with_name(f"{name}{suffix}") for name in ("memory", "bands")]
    results = [restored(source, target, model, choices, target == targets[1], for_poor) for target in targets]
    outcomes = [replace(each, output="", seconds=0, peak_memory=0, trace="") for each in results]
    assert outcomes[0] == outcomes[1]
    assert results[0].error is None
    found = [decode(target) for target in targets]
    assert found[0].pixels.dtype == found[1].pixels.dtype
    assert np.array_equal(found[0].pixels, found[1].pixels)
    assert (found[0].metadata.icc, found[0].notes) == (found[1].metadata.icc, found[1].notes)
    return results[0]


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("scale", [None, 1.5, 2.7])
def test_kinds_of_pictures_at_any_size(name: str, scale: float | None, enlarging: Model, tmp_path: Path) -> None:
    PICTURES[name](tmp_path / name)
    check(tmp_path / name, enlarging, Choices(tile=48, scale=scale, examine=True))


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("strength", [0, 0.4, 1])
def test_kinds_of_pictures_that_keep_their_size(name: str, strength: float, keeping: Model, tmp_path: Path) -> None:
    PICTURES[name](tmp_path / name)
    result = check(tmp_path / name, keeping, Choices(tile=64, strength=strength, examine=True))
    assert result.estimate is not None
    assert (result.estimate.quality is not None) == name.endswith(".jpg")
    assert (result.tiles == 0) == (strength == 0)
    if strength == 0:
        assert np.array_equal(decode(tmp_path / "bands.png").pixels, decode(tmp_path / name).pixels)


@pytest.mark.parametrize(
    "options",
    [
        {"width": 160, "height": 400},
        {"width": 181},
        {"strength": 0.0},
        {"ensemble": True},
        {"precision": "bf16"},
        {"wrap": "x"},
        {"wrap": "x", "scale": 1.7},
        {"strip": True},
        {"tile": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["hidden.png", "deep.png", "turned.jpg"])
def test_choices(name: str, options: dict[str, Any], enlarging: Model, tmp_path: Path) -> None:
    PICTURES[name](tmp_path / name)
    check(tmp_path / name, enlarging, Choices(**{"tile": 48, **options}))


@pytest.mark.parametrize("suffix", [".tif", ".webp"])
@pytest.mark.parametrize("name", ["hidden.png", "deep.png", "gray.png"])
def test_other_formats(name: str, suffix: str, enlarging: Model, tmp_path: Path) -> None:
    PICTURES[name](tmp_path / name)
    notes = check(tmp_path / name, enlarging, Choices(tile=48, scale=3), suffix).notes
    assert any("interpolation" in note for note in notes)


@pytest.mark.parametrize(("sigma", "name"), [(1, "plain"), (24, "repairing")])
@pytest.mark.parametrize("height", [7, 100])
def test_poor_pictures_get_the_same_model(
    sigma: float, name: str, height: int, enlarging: Model, rng: np.random.Generator, tmp_path: Path
) -> None:
    by_opencv(tmp_path / "a.png", (128 + rng.normal(0, sigma, (height, 131, 3))).round().astype(np.uint8))
    plain = replace(enlarging, name="plain")
    repairing = replace(enlarging, name="repairing", network=Negative(enlarging.network))
    result = check(tmp_path / "a.png", plain, Choices(tile=48, examine=True, scale=1.5), for_poor=repairing)
    assert result.model == name
    assert len(result.notes) == (name == "repairing")


def test_refusals_are_alike(enlarging: Model, tmp_path: Path) -> None:
    by_opencv(tmp_path / "a.png", np.zeros((2, 33000, 3), np.uint8))
    by_opencv(tmp_path / "b.png", waves(3, np.uint8))
    for name, choices, words in [
        ("a.png", Choices(), "65500 of .jpg"),
        ("b.png", Choices(width=10), "less than the picture has"),
        ("b.png", Choices(precision="int8"), "no precision"),
    ]:
        found = [restored(tmp_path / name, tmp_path / "o.jpg", enlarging, choices, way) for way in (False, True)]
        assert [result.error for result in found] == [found[0].error] * 2
        assert words in str(found[0].error)


def test_top_and_bottom_are_only_wrapped_in_memory(enlarging: Model, tmp_path: Path) -> None:
    by_opencv(tmp_path / "a.png", waves(3, np.uint8))
    result = restored(tmp_path / "a.png", tmp_path / "b.png", enlarging, Choices(wrap="xy"), streamed=True)
    assert "too large for its last rows to be seen above the first" in str(result.error)
