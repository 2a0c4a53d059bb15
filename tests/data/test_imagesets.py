from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mambair_cli.data import degrade, imagesets, photos
from mambair_cli.data.resize import imresize
from mambair_cli.errors import InputError, UsageError
from tests.data.pictures import natural, write


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A set in the layout of super-resolution, with good images only."""
    for number in range(2):
        write(tmp_path / "SR" / "Five" / "HR" / f"im{number}.png", natural(number, 30, 41))
    return tmp_path / "SR" / "Five"


def test_images_are_reduced_where_no_file_is(good: Path) -> None:
    images = imagesets.open_set(good, 4)
    assert (images.name, images.source, len(images.targets)) == ("Five", "MATLAB's bicubic", 2)
    low, target = images.load(images.targets[0], 4, gray=False)
    np.testing.assert_array_equal(target, photos.load(good / "HR" / "im0.png")[:28, :40])
    np.testing.assert_array_equal(low, imresize(target, 1 / 4))


@pytest.mark.parametrize("pattern", ["{}x2.png", "{}_LRBI_x2.png", "{}.png"])
def test_published_files_are_used_where_they_are(good: Path, pattern: str) -> None:
    for number in range(2):
        write(good / "LR_bicubic" / "X2" / pattern.format(f"im{number}"), natural(10 + number, 15, 20))
    images = imagesets.open_set(good, 2)
    low, target = images.load(images.targets[1], 2, gray=False)
    np.testing.assert_array_equal(low, natural(11, 15, 20))
    assert target.shape == (30, 40, 3)
    assert imagesets.open_set(good, 3).source == "MATLAB's bicubic"


def test_hazy_images_belong_to_clear_ones(tmp_path: Path) -> None:
    write(tmp_path / "SOTS" / "clear" / "1400_8.png", natural(0, 20, 20))
    write(tmp_path / "SOTS" / "hazy" / "1400_8.png", natural(1, 20, 20))
    images = imagesets.open_set(tmp_path / "SOTS", 1)
    assert images.name == "SOTS"
    low, target = images.load(images.targets[0], 1, gray=False)
    assert (low[:, :, 0].mean(), target.mean()) == (natural(1, 20, 20)[:, :, 0].mean(), natural(0, 20, 20).mean())


def test_jpeg_files_of_the_quality_asked_for_are_used(tmp_path: Path) -> None:
    write(tmp_path / "classic5" / "Classic5_HQ" / "a.bmp", natural(0, 24, 24)[:, :, 0])
    stored = write(tmp_path / "classic5" / "Classic5_LQ" / "10" / "a.jpg", natural(3, 24, 24)[:, :, 0])
    images = imagesets.open_set(tmp_path / "classic5", 1, quality=10)
    low, target = images.load(images.targets[0], 1, gray=True)
    np.testing.assert_array_equal(low, photos.load(stored, gray=True))
    made, _ = imagesets.open_set(tmp_path / "classic5", 1, quality=40).load(images.targets[0], 1, gray=True)
    np.testing.assert_array_equal(made, degrade.jpeg(target, 40))


def test_noise_is_the_published_one(tmp_path: Path) -> None:
    write(tmp_path / "CBSD" / "a.png", natural(0, 20, 30))
    images = imagesets.open_set(tmp_path / "CBSD", 1, sigma=15)
    low, target = images.load(images.targets[0], 1, gray=False)
    # As in the published code: OpenCV's order of colours, the global generator, one seed for every image.
    state = np.random.get_state()
    np.random.seed(0)
    bgr = target[:, :, ::-1].astype(np.float32) / 255
    bgr += np.random.normal(0, 15 / 255, bgr.shape)
    np.random.set_state(state)
    np.testing.assert_array_equal(low, bgr[:, :, ::-1])
    assert low.dtype == np.float32


def test_sets_are_found_by_name_below_the_root(good: Path, tmp_path: Path) -> None:
    write(tmp_path / "ColorDN" / "Kodak24HQ" / "a.png", natural(0, 20, 20))
    assert imagesets.find("five", tmp_path) == good
    assert imagesets.find("Kodak24", tmp_path) == tmp_path / "ColorDN" / "Kodak24HQ"
    assert imagesets.find(str(good), tmp_path / "elsewhere") == good
    assert imagesets.open_set(good / "HR", 2).name == "Five"
    with pytest.raises(InputError, match="no folder Six"):
        imagesets.find("Six", tmp_path)


def test_what_cannot_be_measured_is_refused(good: Path) -> None:
    with pytest.raises(UsageError, match="nothing says how to make them"):
        imagesets.open_set(good, 1)
    write(good / "LR_bicubic" / "X2" / "im0x2.png", natural(0, 15, 20))
    with pytest.raises(InputError, match=r"1 of 2 .* no partner .* im1x2"):
        imagesets.open_set(good, 2)
    write(good / "LR_bicubic" / "X2" / "im1x2.png", natural(0, 15, 22))
    with pytest.raises(InputError, match=r"1 of 2 .* not 2 times smaller"):
        imagesets.open_set(good, 2)


def entry(**options: Any) -> dict[str, Any]:
    return {"name": "Five", "dataroot_gt": "SR/Five/HR", **options}


def test_recipes_describe_sets(good: Path, tmp_path: Path) -> None:
    images = imagesets.from_recipe(entry(), 3, tmp_path)
    low, target = images.load(images.targets[0], 3, gray=False)
    np.testing.assert_array_equal(low, imresize(target, 1 / 3))
    for number in range(2):
        write(good / "LR" / f"im{number}x2.png", natural(number, 15, 20))
    images = imagesets.from_recipe(entry(dataroot_lq="SR/Five/LR", filename_tmpl="{}x2"), 2, tmp_path)
    assert images.inputs[images.targets[1]] == good / "LR" / "im1x2.png"


def test_recipes_with_one_strength_of_noise_get_the_published_noise(good: Path, tmp_path: Path) -> None:
    for sigma, same in ((25, True), ([25, 25], True), ([5, 50], False)):
        images = imagesets.from_recipe(entry(degradation={"type": "noise", "sigma": sigma}), 1, tmp_path)
        low, target = images.load(images.targets[0], 1, gray=False)
        assert np.array_equal(low, degrade.published_noise(target, 25)) == same
        np.testing.assert_array_equal(low, images.load(images.targets[0], 1, gray=False)[0])


def test_recipes_without_good_images_measure_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dataroot_gt"):
        imagesets.from_recipe({"name": "real", "dataroot_lq": "x"}, 1, tmp_path)
