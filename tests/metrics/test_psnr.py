import numpy as np
import pytest

from mambair_cli.metrics.psnr import luma, psnr


def test_closed_forms() -> None:
    zeros = np.zeros((8, 8, 3), np.uint8)
    assert psnr(zeros, zeros) == float("inf")
    assert psnr(zeros + np.uint8(5), zeros) == pytest.approx(20 * np.log10(255 / 5))
    checker = np.zeros((8, 8, 1), np.uint8)
    checker[::2] = 10
    assert psnr(checker, np.zeros_like(checker)) == pytest.approx(10 * np.log10(255**2 / 50))


def test_luma_of_the_corners_of_the_colour_cube_is_that_of_bt601() -> None:
    # Rec. ITU-R BT.601: black 16, white 235, red 81.481, green 144.553, blue 40.966.
    colours = np.array([[0, 0, 0], [255] * 3, [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    np.testing.assert_allclose(luma(colours), [16, 235, 81.481, 144.553, 40.966])


def test_the_border_is_left_out_and_luma_is_used_on_request() -> None:
    image, target = np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)
    image[:2] = 200
    assert psnr(image, target, crop_border=2) == float("inf")
    image[4, 4, 2] = 255  # blue, 24.966 of luma
    expected = 10 * np.log10(255**2 / (24.966**2 / 25))
    assert psnr(image, target, crop_border=2, y_channel=True) == pytest.approx(expected)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        psnr(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8))
