"""The oracle is the definition in exact fractions: no sum can miss a tie there."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.basicsr_parts import installed, part
from mambair_cli.data.resize import imresize, output_length


def exact_kernel(x: Fraction) -> Fraction:
    x = abs(x)
    if x <= 1:
        return (Fraction(3, 2) * x - Fraction(5, 2)) * x * x + 1
    return ((-Fraction(1, 2) * x + Fraction(5, 2)) * x - 4) * x + 2 if x <= 2 else Fraction(0)


def exact_line(line: list[int], scale: Fraction) -> list[int]:
    length, shrink = len(line), min(scale, Fraction(1))
    result = []
    for out in range(math.ceil(length * scale)):
        centre = (out + Fraction(1, 2)) / scale - Fraction(1, 2)
        reach = 2 / shrink
        taps = range(math.ceil(centre - reach), math.floor(centre + reach) + 1)
        weights = [exact_kernel((centre - tap) * shrink) for tap in taps]
        mirrored = [min(tap % (2 * length), 2 * length - 1 - tap % (2 * length)) for tap in taps]
        value = sum((w * line[tap] for w, tap in zip(weights, mirrored, strict=True)), Fraction(0)) / sum(weights)
        result.append(min(max(math.floor(value + Fraction(1, 2)), 0), 255))
    return result


def exact(plane: NDArray[np.uint8], scale: Fraction) -> NDArray[np.uint8]:
    rows = np.array([exact_line(column, scale) for column in plane.T.tolist()]).T
    return np.array([exact_line(row, scale) for row in rows.tolist()], np.uint8)


SCALES = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 4), Fraction(2, 5), Fraction(1, 8), Fraction(2), Fraction(7, 3)]


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_every_pixel_is_that_of_exact_arithmetic(scale: Fraction, rng: np.random.Generator) -> None:
    image = rng.choice(np.array([0, 1, 2, 127, 128, 254, 255], np.uint8), (24, 40, 3))  # overshoots and ties
    for picture in (image, image[:, :, :1], image[:, :, 0]):
        result = imresize(picture, float(scale))
        planes = picture.reshape(24, 40, -1)
        expected = np.stack([exact(planes[:, :, k], scale) for k in range(planes.shape[2])], axis=2)
        np.testing.assert_array_equal(result, expected.reshape(result.shape))


def test_a_step_worked_out_by_hand() -> None:
    # Halving weighs pixels by -3 -9 29 111 111 29 -9 -3 in 256ths: the values are 0, -1.5, 8.5, 119.5, 129.5, 128.
    line = np.repeat(np.array([0, 128], np.uint8), 6)[:, None]
    assert imresize(np.repeat(line, 2, axis=1), 1 / 2)[:, 0].tolist() == [0, 0, 9, 120, 130, 128]


def test_rows_are_rounded_before_columns(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (48, 48), dtype=np.uint8)
    turned = imresize(np.ascontiguousarray(image.T), 1 / 2).T
    assert (imresize(image, 1 / 2) != turned).any()
    np.testing.assert_array_equal(imresize(image, 1 / 2), exact(image, Fraction(1, 2)))


@pytest.mark.skipif(not installed(), reason="BasicSR is not installed")
@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 0.37, 1.0, 1.7, 2.0, 4.0])
def test_floats_are_those_of_basicsr(scale: float, rng: np.random.Generator) -> None:
    image = rng.random((37, 52, 3), dtype=np.float32)
    published = part("utils.matlab_functions").imresize(image, scale)  # in single precision
    np.testing.assert_allclose(imresize(image, scale), published, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_types_are_kept_and_floats_not_clipped(dtype: type) -> None:
    white = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    image: NDArray[Any] = np.zeros((16, 16), dtype)
    image[8:] = white
    result = imresize(image, 2)
    assert result.dtype == dtype
    if white == 1:
        assert result.max() > 1
        assert result.min() < 0
    else:
        assert (result.min(), result.max()) == (0, white)


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from(SCALES), st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_a_plain_image_stays_plain_whatever_its_size(height: int, width: int, scale: Fraction, level: int) -> None:
    result = imresize(np.full((height, width, 3), level, np.uint8), float(scale))
    assert result.shape == (math.ceil(height * scale), math.ceil(width * scale), 3)
    assert (result == level).all()


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 6, 7, 8])
def test_lengths_have_no_rounding_error(factor: int) -> None:
    assert all(output_length(length, 1 / factor) == length // factor for length in range(factor, 10_000, factor))


def test_nonsense_is_refused() -> None:
    for shape, scale in (((4, 4), 0), ((4, 4), float("nan")), ((0, 4), 2)):
        with pytest.raises(ValueError, match="cannot resize"):
            imresize(np.zeros(shape, np.uint8), scale)
