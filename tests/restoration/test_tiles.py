from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mambair_cli.restoration import tiles


@st.composite
def tilings(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Size, tile, overlap, multiple, rows done."""
    size = draw(st.integers(1, 400))
    tile = draw(st.integers(1, 128))
    overlap = draw(st.integers(0, tile - 1))
    return size, tile, overlap, draw(st.sampled_from([1, 8, 16])), draw(st.integers(0, size - 1))


@given(tilings())
def test_a_plan_covers_everything_with_context_and_overlap(tiling: tuple[int, int, int, int, int]) -> None:
    size, tile, overlap, multiple, done = tiling
    spans = tiles.plan(size, tile, overlap, multiple, done)
    margin = tiles.margin(overlap)
    assert spans[0].first <= done
    assert spans[-1].last == spans[-1].stop == size
    for span in spans:
        assert 0 <= span.start < span.stop <= size
        assert span.stop - span.start <= tile
        assert span.first - span.start == (margin if span.start else 0)
        assert span.stop - span.last == (margin if span.stop < size else 0)
    for left, right in pairwise(spans):
        assert left.start < right.start
        assert left.stop - right.start >= overlap
        assert left.last >= right.first
        assert left.first <= right.first
        assert left.last < right.last


@given(st.integers(1, 2000), st.integers(33, 300))
def test_starts_lie_on_the_grid_of_windows(size: int, tile: int) -> None:
    assert all(span.start % 16 == 0 for span in tiles.plan(size, tile, 16, 16))


def test_tiles_are_spread_evenly() -> None:
    starts = [span.start for span in tiles.plan(100, 40, 10)]
    assert starts == [0, 30, 60]
    assert [span.start for span in tiles.plan(101, 40, 10)] == [0, 23, 46, 68]
    assert tiles.plan(40, 40, 10) == [tiles.Span(0, 40, 0, 40)]


@given(st.integers(289, 9000))
def test_tiles_shrink_to_what_the_overlaps_need(size: int) -> None:
    spans = tiles.plan(size, 288, 16)
    seen = sum(span.stop - span.start for span in spans)
    assert size + 16 * (len(spans) - 1) <= seen <= size + 17 * len(spans)


@given(st.integers(1, 3000), st.integers(0, 200))
def test_the_ladder_goes_down_and_stays_above_the_overlap(tile: int, overlap: int) -> None:
    edge = tiles.smaller(tile, overlap)
    assert edge is None or overlap < edge < tile
    if edge is None:
        assert tile <= 1 or max((e for e in tiles.LADDER if e < tile), default=0) <= overlap


def test_blending_ramps_and_keeps_equal_values_to_the_bit(rng: np.random.Generator) -> None:
    zeros, ones = np.zeros((3, 4, 1), np.float32), np.ones((3, 4, 1), np.float32)
    np.testing.assert_allclose(tiles.blend(zeros, ones, axis=0)[:, 0, 0], [0.25, 0.5, 0.75])
    np.testing.assert_allclose(tiles.blend(zeros, ones, axis=1)[0, :, 0], [0.2, 0.4, 0.6, 0.8], rtol=1e-6)
    same = rng.standard_normal((5, 6, 3), dtype=np.float32)
    assert np.array_equal(tiles.blend(same, same.copy(), axis=0), same)
