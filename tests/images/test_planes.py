"""The planes that a network sees, against closed forms and other libraries."""

import cv2
import numpy as np
import pytest

from mambair_cli.errors import ModelError
from mambair_cli.images.planes import check_channels, enlarge, for_network, from_network


def test_luma_is_that_of_bt_601(rng: np.random.Generator) -> None:
    rgb = rng.random((5, 6, 3), np.float32)
    assert np.allclose(for_network(rgb, 1)[:, :, 0], cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), atol=1e-6)


def test_a_change_in_luma_keeps_the_chroma(rng: np.random.Generator) -> None:
    rgb = rng.random((5, 6, 3), np.float32)
    found = from_network(for_network(rgb, 1) + np.float32(0.25), rgb)
    assert np.allclose(found, rgb + 0.25, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_enlarging_keeps_shape_and_constants(channels: int) -> None:
    plane = np.full((3, 5, channels), 77, np.uint16)
    found = enlarge(plane, 3)
    assert found.shape == (9, 15, channels)
    assert np.array_equal(found, np.full_like(found, 77))


def test_enlarging_is_cubic_convolution() -> None:
    """An impulse shows the kernel (Keys 1981, with OpenCV's a = -0.75) at the offsets of a doubled grid."""
    plane = np.zeros((1, 9, 1), np.uint16)
    plane[0, 4] = 32000
    distance = np.abs((np.arange(18) + 0.5) / 2 - 0.5 - 4)
    a = -0.75
    near = (a + 2) * distance**3 - (a + 3) * distance**2 + 1
    far = a * distance**3 - 5 * a * distance**2 + 8 * a * distance - 4 * a
    kernel = np.where(distance <= 1, near, np.where(distance < 2, far, 0))
    assert np.abs(enlarge(plane, 2)[0, :, 0] - np.clip(kernel * 32000, 0, None)).max() < 1


@pytest.mark.parametrize("channels", [2, 4])
def test_networks_for_other_channels_are_refused(channels: int) -> None:
    with pytest.raises(ModelError, match=f"{channels} channels"):
        check_channels(channels, "odd")
