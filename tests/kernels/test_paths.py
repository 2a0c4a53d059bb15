import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mambair_kernels import PathError, paths, reference, scan_2d
from mambair_kernels.paths import COLUMN, COLUMN_REVERSED, CROSS_SCAN, RASTER, RASTER_REVERSED, Path

SIZES = st.integers(1, 12)
BOUSTROPHEDON = Path(
    "boustrophedon",
    lambda h, w: torch.cat([row.flip(0) if k % 2 else row for k, row in enumerate(torch.arange(h * w).view(h, w))]),
)
EVERY = st.sampled_from([*paths.PATHS.values(), BOUSTROPHEDON, BOUSTROPHEDON.reversed, BOUSTROPHEDON.transposed])


def test_orders_of_a_small_grid() -> None:
    # 0 1 2
    # 3 4 5
    assert RASTER.index(2, 3).tolist() == [0, 1, 2, 3, 4, 5]
    assert COLUMN.index(2, 3).tolist() == [0, 3, 1, 4, 2, 5]
    assert RASTER_REVERSED.index(2, 3).tolist() == [5, 4, 3, 2, 1, 0]
    assert COLUMN_REVERSED.index(2, 3).tolist() == [5, 2, 4, 1, 3, 0]
    assert BOUSTROPHEDON.index(2, 3).tolist() == [0, 1, 2, 5, 4, 3]
    assert BOUSTROPHEDON.reversed.index(2, 3).tolist() == [3, 4, 5, 2, 1, 0]
    assert BOUSTROPHEDON.transposed.index(2, 3).tolist() == [0, 3, 4, 1, 2, 5]


def test_cross_scan_is_the_order_of_published_weights() -> None:
    assert CROSS_SCAN == (RASTER, COLUMN, RASTER_REVERSED, COLUMN_REVERSED)
    assert paths.codes(CROSS_SCAN) == [0, 1, 2, 3]
    assert paths.codes((RASTER, BOUSTROPHEDON)) is None


@given(EVERY, SIZES, SIZES)
def test_inverse_undoes_the_path(path: Path, height: int, width: int) -> None:
    index, inverse = path.index(height, width), path.inverse(height, width)
    steps = torch.arange(height * width)
    assert torch.equal(inverse[index], steps)
    assert torch.equal(index[inverse], steps)


def test_positions_of_static_and_of_given_paths() -> None:
    cpu = torch.device("cpu")
    assert paths.positions(CROSS_SCAN, 2, 3, 1, 3, cpu).tolist() == [[[1, 2], [3, 1], [4, 3], [2, 4]]]
    order = torch.tensor([[[2, 0, 1]], [[1, 2, 0]]])
    assert paths.positions(order, 1, 3, 1, 3, cpu).tolist() == [[[0, 1]], [[2, 0]]]
    assert (paths.count(CROSS_SCAN), paths.count(order)) == (4, 1)


def test_tables_are_made_once_and_serve_training_after_inference() -> None:
    path = Path("once", lambda h, w: torch.arange(h * w).flip(0))
    with torch.inference_mode(), torch.device("meta"):
        first = path.index(3, 5)
    assert first is not None
    assert not first.is_inference()
    assert first.device.type == "cpu"
    assert path.index(3, 5).data_ptr() == first.data_ptr()


def test_paths_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(paths.PATHS, "boustrophedon", BOUSTROPHEDON)
    monkeypatch.setitem(paths.FAMILIES, "roll", lambda n: Path(f"roll_{n}", lambda h, w: torch.arange(h * w).roll(n)))
    assert paths.get("column_reversed") is COLUMN_REVERSED
    assert paths.get("raster_transposed") is COLUMN
    assert paths.get("boustrophedon_reversed").index(2, 2).tolist() == [2, 3, 1, 0]
    assert paths.get("roll_1").index(1, 3).tolist() == [2, 0, 1]
    assert paths.get("roll_1_reversed").index(1, 3).tolist() == [1, 0, 2]


def test_a_path_is_added_by_one_declaration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "PATHS", dict(paths.PATHS))
    paths.add(BOUSTROPHEDON)
    assert paths.get("boustrophedon_transposed").index(2, 3).tolist() == [0, 3, 4, 1, 2, 5]
    for name in ("boustrophedon", "raster", "a b", "", "my_reversed"):
        with pytest.raises(PathError, match="cannot be the name"):
            paths.add(Path(name, BOUSTROPHEDON.order))


@pytest.mark.parametrize("name", ["", "roll", "rastr", "_reversed", "roll_1_2", "roll_x", "raster_3"])
def test_names_of_no_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(paths.FAMILIES, "roll", lambda n: Path(f"roll_{n}", lambda h, w: torch.arange(h * w).roll(n)))
    with pytest.raises(PathError, match="is not a scan path"):
        paths.get(name)


@given(st.lists(EVERY, min_size=1, max_size=4).map(tuple), st.integers(1, 5), st.integers(1, 5))
def test_a_scan_along_any_paths_equals_the_reference(chosen: tuple[Path, ...], height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(height * width)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / 2

    k, channels, state, rank = len(chosen), 3, 2, 1
    x = draw(2, height, width, channels).requires_grad_()
    x_proj, dt_proj, dt_bias = draw(k, rank + 2 * state, channels), draw(k, channels, rank), draw(k, channels)
    A_log, D = draw(k * channels, state), draw(k * channels)
    y = scan_2d(x, x_proj, dt_proj, dt_bias, A_log, D, chosen)
    (grad,) = torch.autograd.grad(y.sum(), x)
    double = x.detach().double().requires_grad_()
    weights = x_proj.double(), dt_proj.double(), dt_bias.double(), A_log.double(), D.double()
    expected = reference.scan_2d(double, *weights, chosen, None)
    (expected_grad,) = torch.autograd.grad(expected.sum(), double)
    assert torch.allclose(y.double(), expected, rtol=1e-3, atol=1e-4)
    assert torch.allclose(grad.double(), expected_grad, rtol=1e-3, atol=1e-3)
