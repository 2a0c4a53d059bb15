"""Depth fields against the geometry they come from."""

import numpy as np
import pytest

from mambair_cli.data import depth
from mambair_cli.data.depth import DEPTHS


class Chosen:
    """A generator that gives these values in turn, whatever it is asked for."""

    def __init__(self, *values: object) -> None:
        self.values = list(values)

    def uniform(self, low: object, high: object) -> object:
        return self.values.pop(0)


@pytest.mark.parametrize("name", DEPTHS)
def test_depth_fields_fill_their_range_and_differ(name: str) -> None:
    fields = [DEPTHS[name]((40, 64), np.random.default_rng(seed)) for seed in range(20)]
    for field in fields:
        assert field.shape == (40, 64)
        assert field.dtype == np.float32
        assert field.min() == 0
        assert field.max() == pytest.approx(1)
    assert len({field.tobytes() for field in fields}) == 20
    jumps = [max(np.abs(np.diff(field, axis=axis)).max() for axis in (0, 1)) for field in fields]
    if name in ("smooth", "ramp", "layers"):
        assert (np.median(jumps) > 0.2) == (name == "layers")


def test_a_room_seen_straight_on_has_four_sides_and_a_back() -> None:
    # 60 degrees wide; walls 1 to each side, floor and ceiling 1 away, the back 4 ahead.
    rng = Chosen(np.tan(np.pi / 6), 0.0, 0.0, np.ones(3), np.array([1.0, 1.0, 4.0]))
    field = depth.room_depth((101, 101), rng)  # type: ignore[arg-type]
    offset = np.abs(2 * np.arange(101) + 1 - 101) / 101 * np.tan(np.pi / 6)
    steepest = np.maximum(offset[:, None], offset[None])
    expected = 1 / np.maximum(steepest, 1 / 4)
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(field, expected, atol=1e-6)
    assert (field == 1).mean() == pytest.approx((1 / 4 / np.tan(np.pi / 6)) ** 2, abs=0.02)


def test_ground_is_as_far_as_rows_are_close_to_the_horizon() -> None:
    field = depth.ground_depth((100, 100), Chosen(0.5, 0.0, 10.0))  # type: ignore[arg-type]
    assert (field[:50] == 1).all()  # the sky
    down = (2 * np.arange(100) + 1 - 100) / 100 * 0.5
    expected = 1 / np.maximum(down, 0.1)
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    np.testing.assert_allclose(field[:, 7], expected, atol=1e-6)


def test_ground_is_below() -> None:
    fields = [depth.ground_depth((60, 80), np.random.default_rng(seed)) for seed in range(50)]
    assert all((np.diff(field, axis=0) <= 0).all() for field in fields)


def test_things_stand_where_the_picture_has_edges(rng: np.random.Generator) -> None:
    image = np.full((80, 100, 3), 40, np.uint8)
    image[20:60, 30:70] = (250, 240, 30)
    across, elsewhere = [], []
    for seed in range(30):
        field = depth.standing(np.zeros((80, 100), np.float32), image, np.random.default_rng(seed))
        jumps = np.abs(np.diff(field, axis=1))
        across.append(jumps[25:55, 28:31].max(axis=1).mean())
        elsewhere.append(jumps[25:55, 40:43].max(axis=1).mean())
    assert np.mean(across) > 3 * np.mean(elsewhere)


def test_the_nearest_site_is_found_block_by_block(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (3 * depth.BLOCK + 5, 9, 3), np.uint8)
    features = depth._features(image, np.float32(0.3))
    sites = features[[0, 70, 150], [1, 5, 8]]
    found = depth._nearest(features, sites)
    distances = ((features[:, :, None].astype(np.float64) - sites) ** 2).sum(axis=3)
    assert (found == distances.argmin(axis=2)).mean() > 0.999
    field = depth.standing(np.zeros(image.shape[:2], np.float32), image, rng)
    assert field.shape == image.shape[:2]
