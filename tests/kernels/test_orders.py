"""Scan orders against the paths of the systems that they come from, and as permutations of grids of every size."""

import gzip
import json
import re
from pathlib import Path as File
from typing import Any

import pytest
import torch
from torch import Tensor

from mambair_kernels import PathError, orders, paths
from mambair_kernels.paths import Path

GOLDEN: dict[str, Any] = json.loads(
    gzip.decompress((File(__file__).parents[1] / "golden" / "systems" / "paths.json.gz").read_bytes())
)
NAMES = {
    "antidiagonal": "antidiagonal",
    "hilbert_cropped": "hilbert",
    "jpeg_zigzag": "zigzag",
    "morton": "morton",
    "gilbert": "gilbert",
    "spiral_in": "spiral",
    "spiral_out": "spiral_reversed",
    "radial_spokes": "spokes",
    "radial_rings": "rings",
    "rsmamba_diagonal": "sheared",
    "rsmamba_antidiagonal": "antisheared",
    "rsmamba_diagonal_reversed": "sheared_reversed",
    "rsmamba_antidiagonal_reversed": "antisheared_reversed",
}
GROUPS = {"plainmamba": paths.CONTINUOUS, "zigma": paths.SNAKES, "eamamba": paths.ALL_AROUND}
EVERY = sorted({*paths.PATHS.values(), *paths.SNAKES, *paths.ALL_AROUND, *paths.OMNIDIRECTIONAL}, key=lambda p: p.name)
EVERY += [paths.window(2), paths.window(7), paths.atrous(2), paths.atrous(3)]
EVERY += [*paths.nested_snakes(8), *paths.nested_snakes(8, 4), *paths.nested_snakes(5, 2), paths.nested_snake(1, 1)]


def ours(name: str, height: int, width: int) -> Tensor:
    """The golden path ``name`` by our names."""
    stem = name.removesuffix("_padded")
    if local := re.fullmatch(r"local_w(\d+)(_columns)?(_flip)?", stem):
        path = paths.window(int(local[1]))
        path = path.transposed if local[2] else path
        path = path.reversed if local[3] else path
        padded = orders.padded(path.order, height, width, int(local[1]))
        return padded if name != stem else path.index(height, width)
    if stem.startswith("es2d_"):
        top, left = int(stem[-1]) % 2, int(stem[-1]) // 2

        def part(height: int, width: int) -> Tensor:
            return orders.atrous_part(height, width, 2, top, left)

        return orders.padded(part, height, width, 2) if name != stem else part(height, width)
    if nested := re.fullmatch(r"nss_w(\d+)_s(\d+)_(\d)", name):
        return paths.nested_snakes(int(nested[1]), int(nested[2]))[int(nested[3])].index(height, width)
    group, _, number = name.rpartition("_")
    if group in GROUPS:
        return GROUPS[group][int(number)].index(height, width)
    return paths.get(NAMES.get(name, name)).index(height, width)


@pytest.mark.parametrize("size", GOLDEN["paths"])
def test_paths_equal_those_of_their_systems(size: str) -> None:
    height, width = map(int, size.split("x"))
    expected = GOLDEN["paths"][size]
    assert {name: ours(name, height, width).tolist() for name in expected} == expected


def test_orders_of_a_volume() -> None:
    expected = GOLDEN["three_d"]["3x2x3"]
    found = [path.index(3, 6).tolist() for path in paths.VOLUME]
    assert found == [expected["frames"], expected["frames_reversed"], expected["time_first"]]


@pytest.mark.parametrize("size", ["5x7", "8x8"])
def test_moves_that_led_to_each_step(size: str) -> None:
    height, width = map(int, size.split("x"))
    found = [orders.moves(path.index(height, width), width).tolist() for path in paths.CONTINUOUS]
    assert found == list(GOLDEN["plainmamba_directions"][size].values())


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.name)
def test_every_path_visits_every_cell_of_every_grid_once(path: Path) -> None:
    for height in range(1, 41):
        for width in range(1 + height % 3, 41, 3):
            index = path.order(height, width)
            steps = torch.zeros(height * width, dtype=torch.int64)
            steps[index] = torch.arange(height * width)
            assert torch.equal(index[steps], torch.arange(height * width)), (height, width)


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.name)
def test_names_lead_back_to_the_path_and_twice_the_same_ending_to_itself(path: Path) -> None:
    index = path.index(6, 4)
    assert torch.equal(paths.get(path.name).index(6, 4), index)
    for ending in paths.ENDINGS:
        assert torch.equal(paths.get(f"{path.name}_{ending}_{ending}").index(6, 4), index)


def test_neighbours_follow_each_other_along_a_gilbert_curve() -> None:
    for height, width in ((8, 8), (6, 10), (5, 7), (12, 2), (1, 9), (21, 33)):
        index = paths.get("gilbert").index(height, width)
        steps = index.div(width, rounding_mode="floor").diff().abs() + (index % width).diff().abs()
        assert steps.max() == 1, (height, width)
    index = paths.get("gilbert").index(20, 33)  # of an odd and a shorter even side, one step must be diagonal
    steps = index.div(33, rounding_mode="floor").diff().abs() + (index % 33).diff().abs()
    assert steps.sort().values[-2:].tolist() == [1, 2]


def test_sizes_that_make_no_path() -> None:
    for name in ("window_0", "atrous_0", "nss_0", "nss_4_5", "window", "nss"):
        with pytest.raises(PathError, match="is not a scan path"):
            paths.get(name)
