from itertools import pairwise

import numpy as np
import pytest

from mambair_cli.data import degrade
from mambair_cli.data.combined import from_options
from mambair_cli.data.degradations import Bicubic, Box, Degradation, Haze, Jpeg, Noise
from mambair_cli.data.resize import imresize
from mambair_cli.errors import UsageError

GRAY = np.full((256, 256, 3), 128, np.uint8)


@pytest.fixture
def photo(rng: np.random.Generator) -> degrade.Bytes:
    return rng.integers(0, 256, (96, 120, 3), dtype=np.uint8)


def test_noise_has_the_strength_asked_for_and_is_neither_clipped_nor_rounded(rng: np.random.Generator) -> None:
    black = np.zeros_like(GRAY)
    noisy = degrade.noise(black, rng, 25)
    assert noisy.dtype == np.float32
    assert noisy.std() * 255 == pytest.approx(25, rel=0.01)
    assert noisy.mean() * 255 == pytest.approx(0, abs=0.3)
    assert abs(np.corrcoef(noisy[:, :, 0].ravel(), noisy[:, :, 1].ravel())[0, 1]) < 0.02
    assert noisy.min() < -0.1
    assert not np.allclose(noisy * 255, np.rint(noisy * 255), atol=0.01)


def test_gray_noise_is_the_same_in_all_channels(rng: np.random.Generator) -> None:
    noisy = degrade.noise(GRAY, rng, 25, gray=True)
    assert (noisy == noisy[:, :, :1]).all()
    assert noisy.std() > 0


@pytest.mark.parametrize(("level", "variance"), [(0, 0.25), (255, 1.75), (127.5, 1.0)])
def test_shot_noise_grows_with_brightness(rng: np.random.Generator, level: float, variance: float) -> None:
    plain = np.full((256, 256, 1), round(level), np.uint8)
    noisy = degrade.noise(plain, rng, 20, shot=0.75)
    assert noisy.var() * 255**2 / 20**2 == pytest.approx(variance, rel=0.04)


def test_stored_clips_and_rounds() -> None:
    values = np.array([-1, 0.2, 0.5, 2], np.float32).reshape(2, 2, 1)
    assert degrade.stored(values).ravel().tolist() == [0, 51, 128, 255]


def changed_by_one_pixel(photo: degrade.Bytes, row: int, column: int) -> tuple[range, range]:
    """Rows and columns of the result that depend on a pixel: its block, by the definition of JPEG."""
    other = photo.copy()
    other[row, column] ^= 255
    a, b = (degrade.jpeg(image, 90) for image in (photo, other))
    rows, columns = (np.nonzero((a != b).any(axis=(axis, 2)))[0] for axis in (1, 0))
    return range(rows[0], rows[-1] + 1), range(columns[0], columns[-1] + 1)


def test_jpeg_blocks_start_at_the_corner(photo: degrade.Bytes) -> None:
    rows, columns = changed_by_one_pixel(photo[:, :, :1], 19, 33)
    assert (rows, columns) == (range(16, 24), range(32, 40))


def test_jpeg_quality_counts(photo: degrade.Bytes) -> None:
    errors = [np.abs(degrade.jpeg(photo, quality).astype(int) - photo).mean() for quality in (10, 40, 70, 95)]
    assert all(worse > better for worse, better in pairwise(errors))
    assert degrade.jpeg(photo[:, :, :1], 50).shape == (96, 120, 1)


def test_halved_colours_mix_neighbours() -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0] = 255
    stripes[:, 1::2, 2] = 255
    fine, coarse = degrade.jpeg(stripes, 100, "4:4:4"), degrade.jpeg(stripes, 100, "4:2:0")
    assert np.abs(fine.astype(int) - stripes).max() < 12
    assert np.abs(coarse.astype(int) - stripes).mean() > 50


def test_red_stays_red() -> None:
    red = np.zeros((16, 16, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    assert np.abs(degrade.jpeg(red, 95).astype(int) - red).max() < 6


def test_haze_is_koschmieders_law() -> None:
    image = np.array([[[0, 100, 200]]], np.uint8)
    one = np.ones((1, 1), np.float32)
    np.testing.assert_allclose(degrade.haze(image, one, 0, [1, 1, 1])[0, 0], image[0, 0] / 255, rtol=1e-6)
    np.testing.assert_allclose(degrade.haze(image, one, 100, [0.9, 0.8, 0.7])[0, 0], [0.9, 0.8, 0.7], rtol=1e-6)
    half = degrade.haze(image, 2 * one, np.log(2) / 2, [0.8, 0.8, 0.8])
    np.testing.assert_allclose(half[0, 0], (image[0, 0] / 255 + 0.8) / 2, rtol=1e-6)


def test_haze_that_is_clear_at_times_and_taken_by_a_camera(photo: degrade.Bytes) -> None:
    box = Box(8, 16, 40, 48)
    often = Haze(clear_probability=0.3, beta=(2, 2))
    same = [np.array_equal(often(photo, box, np.random.default_rng(seed)), box.cut(photo)) for seed in range(200)]
    assert np.mean(same) == pytest.approx(0.3, abs=0.08)
    plain, noisy, coded = (
        haze(photo, box, np.random.default_rng(4)).astype(np.float32)
        for haze in (Haze(), Haze(sigma=(5, 5)), Haze(jpeg_probability=1, quality=(40, 40)))
    )
    inside = (plain > 0.1) & (plain < 0.9)
    assert (noisy - plain)[inside].std() == pytest.approx(5 / 255, rel=0.1)
    np.testing.assert_array_equal(coded, degrade.jpeg(degrade.stored(plain), 40, "4:2:0"))
    assert plain.min() >= 0 <= noisy.min()
    assert max(plain.max(), noisy.max()) <= 1


def test_things_may_stand_in_the_haze(photo: degrade.Bytes) -> None:
    box = Box(0, 0, 64, 64)
    flat, cut = (
        Haze(depth=("ramp",), standing_probability=share)(photo, box, np.random.default_rng(3)) for share in (0, 1)
    )
    assert (flat != cut).any()


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_small_patch_is_that_of_the_whole_photo(photo: degrade.Bytes, rng: np.random.Generator, scale: int) -> None:
    whole = imresize(photo, 1 / scale)
    for _ in range(30):
        height, width = rng.integers(1, 9, 2) * scale
        top, left = rng.integers(0, [(96 - height) // scale, (120 - width) // scale], endpoint=True) * scale
        if rng.random() < 0.3:
            top, left = 0, 120 - width
        low = Bicubic(scale)(photo, Box(int(top), int(left), int(height), int(width)), rng)
        expected = whole[top // scale : (top + height) // scale, left // scale : (left + width) // scale]
        np.testing.assert_array_equal(low, expected)


def test_jpeg_patches_begin_anywhere_in_a_block(photo: degrade.Bytes) -> None:
    box = Box(32, 48, 24, 24)
    starts = set()
    for seed in range(60):
        other = photo.copy()
        other[44, 60] ^= 255
        a, b = (Jpeg((90, 90))(image, box, np.random.default_rng(seed))[:, :, 1] for image in (photo, other))
        rows, columns = np.nonzero((a != b).any(axis=1))[0], np.nonzero((a != b).any(axis=0))[0]
        assert len(rows) <= 8
        starts.add((rows[0] % 8, columns[0] % 8))
    assert len(starts) > 20
    plain = Jpeg((90, 90), shifted=False)(photo, box, np.random.default_rng(0))
    wider = degrade.jpeg(photo[32:64, 48:80], 90)[:24, :24]
    np.testing.assert_array_equal(plain, wider)


@pytest.mark.parametrize("degradation", [Noise((5, 50), 0.5, (0, 1), 0.5), Jpeg((5, 95)), Haze()])
def test_the_generator_decides_everything(photo: degrade.Bytes, degradation: Degradation) -> None:
    box = Box(8, 16, 40, 48)
    results = [degradation(photo, box, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()
    assert results[0].shape == (40, 48, 3)
    assert results[0].dtype in (np.uint8, np.float32)


def test_options_become_degradations() -> None:
    assert from_options({}, 3) == Bicubic(3)
    assert from_options({"type": "noise", "sigma": 25}, 1) == Noise((25, 25))
    assert from_options({"type": "noise", "sigma": [5, 50], "gray_probability": 0.2}, 1) == Noise((5, 50), 0.2)
    jpeg = {"type": "jpeg", "quality": [10, 40], "subsampling": "4:2:0", "shifted": False}
    assert from_options(jpeg, 1) == Jpeg((10, 40), ("4:2:0",), False)
    haze = {"type": "haze", "beta": [1, 2], "depth": ["ramp"], "tint": 0, "sigma": 2, "clear_probability": 0.1}
    assert from_options(haze, 1) == Haze(beta=(1, 2), depth=("ramp",), tint=0, sigma=(2, 2), clear_probability=0.1)


@pytest.mark.parametrize(
    ("options", "scale", "words"),
    [
        ({"type": "blur"}, 1, "no degradation 'blur'"),
        ({"type": "noise"}, 1, "lacks 'sigma'"),
        ({"type": "noise", "sigma": 25}, 2, "scale is 2"),
        ({"type": "noise", "sigma": [50, 5]}, 1, "sigma is"),
        ({"type": "noise", "sigma": "much"}, 1, "sigma is 'much'"),
        ({"type": "noise", "sigma": 5, "gamma": 1}, 1, "no option 'gamma'"),
        ({"type": "noise", "sigma": 5, "gray_probability": 2}, 1, "gray_probability is 2"),
        ({"type": "jpeg", "quality": [0, 50]}, 1, "quality.0 is 0"),
        ({"type": "jpeg", "quality": 50, "subsampling": "4:1:0"}, 1, "subsampling.0 is '4:1:0'"),
        ({"type": "haze", "depth": []}, 1, "depth is"),
        ({"type": "haze", "standing_probability": 1.5}, 1, "standing_probability is 1.5"),
        ({"type": "bicubic", "sigma": 1}, 2, "no option 'sigma'"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], scale: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        from_options(options, scale)
