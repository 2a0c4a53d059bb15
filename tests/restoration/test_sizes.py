"""Sizes of results, as plain arithmetic."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mambair_cli.errors import UsageError
from mambair_cli.restoration.sizes import notes, pick_scale, target, wanted_scale

EDGE = st.integers(1, 5000)


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [(2.5, [2, 3, 4], 3), (2, [2, 3, 4], 2), (1, [2, 4], 2), (6, [2, 4], 4), (4.0001, [4, 8, 2], 8), (3, [2], 2)],
)
def test_the_smallest_network_that_is_large_enough(wanted: float, offered: list[int], expected: int) -> None:
    assert pick_scale(wanted, offered) == expected


@given(st.floats(1, 20), st.lists(st.integers(1, 8), min_size=1))
def test_no_other_network_would_do_better(wanted: float, offered: list[int]) -> None:
    picked = pick_scale(wanted, offered)
    assert picked in offered
    for other in offered:
        assert not wanted <= other < picked  # as good, and less work
        assert picked >= wanted or other <= picked


@pytest.mark.parametrize("wanted", [0.99, 0, -2, math.nan, math.inf])
def test_no_scale_below_one(wanted: float) -> None:
    with pytest.raises(UsageError, match="does not enlarge"):
        pick_scale(wanted, [2])
    with pytest.raises(UsageError):
        target((10, 10), 2, scale=wanted)


def test_targets() -> None:
    assert target((30, 40), 4) == (120, 160)
    assert target((30, 40), 4, scale=2.5) == (75, 100)
    assert target((30, 40), 2, scale=1) == (30, 40)
    assert target((30, 40), 2, width=100) == (75, 100)
    assert target((30, 40), 2, height=45) == (45, 60)
    assert target((30, 40), 2, width=50, height=90) == (90, 50)
    assert target((30, 40), 1) == target((30, 40), 1, scale=1.0) == target((30, 40), 1, width=40) == (30, 40)
    assert target((1, 400), 2, width=410) == (1, 410)


@given(EDGE, EDGE, st.floats(1, 9))
def test_proportions_are_kept_to_half_a_pixel(height: int, width: int, scale: float) -> None:
    found = target((height, width), 4, scale=scale)
    assert found[0] == pytest.approx(height * scale, abs=0.5)
    assert found[1] == pytest.approx(width * scale, abs=0.5)
    wide = max(found[1], width)
    found = target((height, width), 4, width=wide)
    assert found[1] == wide
    assert found[0] == pytest.approx(height * wide / width, abs=0.5)
    assert notes((height, width), 100, found, wide, found[0]) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"own": 2, "width": 39}, "39 x 29 pixels are less than the picture has, 40 x 30"),
        ({"own": 2, "width": 80, "height": 29}, "80 x 29"),
        ({"own": 2, "scale": 2, "width": 80}, "contradict"),
        ({"own": 1, "scale": 2}, "keeps the size"),
        ({"own": 1, "height": 31}, "keeps the size"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        target((30, 40), **options)


def test_notes() -> None:
    assert notes((30, 40), 2, (60, 80)) == notes((30, 40), 2, (45, 60)) == []
    assert notes((30, 40), 2, (90, 120)) == [
        "the model enlarges 2 times, from there to 120 x 90 pixels it is interpolation"
    ]
    assert notes((30, 40), 2, (60, 60), 60, 60) == [
        "60 x 60 pixels change the proportions, those of the input are 40 : 30"
    ]


def test_the_scale_that_edges_need() -> None:
    assert wanted_scale((30, 40), None, None) is None
    assert wanted_scale((30, 40), 100, None) == 2.5
    assert wanted_scale((30, 40), 60, 90) == 3
