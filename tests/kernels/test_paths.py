import torch
from hypothesis import given
from hypothesis import strategies as st

from mambair_kernels import paths
from mambair_kernels.paths import COLUMN, COLUMN_REVERSED, CROSS_SCAN, RASTER, RASTER_REVERSED, Path

SIZES = st.integers(1, 12)
PATHS = st.sampled_from(CROSS_SCAN)


def test_orders_of_a_small_grid() -> None:
    # 0 1 2
    # 3 4 5
    assert RASTER.index(2, 3).tolist() == [0, 1, 2, 3, 4, 5]
    assert COLUMN.index(2, 3).tolist() == [0, 3, 1, 4, 2, 5]
    assert RASTER_REVERSED.index(2, 3).tolist() == [5, 4, 3, 2, 1, 0]
    assert COLUMN_REVERSED.index(2, 3).tolist() == [5, 2, 4, 1, 3, 0]


def test_cross_scan_is_the_order_of_published_weights() -> None:
    assert CROSS_SCAN == (RASTER, COLUMN, RASTER_REVERSED, COLUMN_REVERSED)


@given(PATHS, SIZES, SIZES)
def test_inverse_undoes_the_path(path: Path, height: int, width: int) -> None:
    index, inverse = path.index(height, width), path.inverse(height, width)
    steps = torch.arange(height * width)
    assert torch.equal(inverse[index], steps)
    assert torch.equal(index[inverse], steps)


@given(PATHS, SIZES, SIZES, st.data())
def test_a_range_of_steps_is_a_slice_of_the_path(path: Path, height: int, width: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, height * width))
    stop = data.draw(st.integers(start, height * width))
    assert torch.equal(path.index(height, width, start, stop), path.index(height, width)[start:stop])


def test_positions_of_static_and_of_given_paths() -> None:
    cpu = torch.device("cpu")
    assert paths.positions(CROSS_SCAN, 2, 3, 1, 3, cpu).tolist() == [[[1, 2], [3, 1], [4, 3], [2, 4]]]
    order = torch.tensor([[[2, 0, 1]], [[1, 2, 0]]])
    assert paths.positions(order, 1, 3, 1, 3, cpu).tolist() == [[[0, 1]], [[2, 0]]]
    assert (paths.count(CROSS_SCAN), paths.count(order)) == (4, 1)
