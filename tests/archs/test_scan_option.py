"""The option ``scan``: any paths, merged in any way, remembered by the weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mambair_archs import MaIR, MambaIR, MambaIRDehaze, MambaIRUNet, UnknownWeightsError, identify
from mambair_archs.blocks.merging import CROSS, Scan
from mambair_archs.blocks.selective_scan import SS2D
from mambair_archs.config import create
from mambair_archs.network import Network
from mambair_archs.setting import KEY
from mambair_cli.training.recipe.reading import RecipeError, read_recipe
from mambair_kernels import paths
from tests.training.recipe.recipes import broken, write

SMALL: dict[str, Any] = {"embed_dim": 12, "depths": (2, 1), "d_state": 2, "squeeze_factor": 4, "mlp_ratio": 1.0}
SETTINGS = [
    {"paths": ["snake", "snake_reversed"], "merge": "mean"},
    {"paths": ["hilbert", "raster", "window_4"], "merge": "alternate"},
    {"paths": ["raster", "column", "gilbert"], "merge": "concat"},
    {"paths": ["raster", "zigzag", "column_reversed"], "merge": "gated"},
    {"paths": ["spiral"]},
]


def trained(network: Network) -> Network:
    """Every scan with parameters of its own, so that no two paths do the same."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return network.eval()


@pytest.mark.parametrize("scan", SETTINGS)
def test_weights_tell_their_scan(scan: dict[str, Any]) -> None:
    network = trained(MambaIR(**SMALL, scan=scan))
    found = identify(network.state_dict())
    assert found.config.scan == network.config.scan != CROSS
    again = found.build()
    again.load_state_dict(network.state_dict())
    x = torch.rand(1, 3, 9, 11)
    with torch.inference_mode():
        assert torch.equal(again.eval()(x), network(x))


@pytest.mark.parametrize("scan", SETTINGS)
def test_paths_matter(scan: dict[str, Any]) -> None:
    network = trained(MambaIR(**SMALL, scan=scan))
    other = MambaIR(**SMALL, scan=scan | {"paths": [f"{name}_transposed" for name in scan["paths"]]}).eval()
    other.load_state_dict({key: value for key, value in network.state_dict().items() if key != KEY}, strict=False)
    x = torch.rand(1, 3, 9, 11)
    with torch.inference_mode():
        assert (other(x) - network(x)).abs().max() > 1e-4


def test_the_published_scan_leaves_no_trace() -> None:
    assert KEY not in MambaIR(**SMALL).state_dict()
    assert KEY not in MambaIR(**SMALL, scan={"paths": list(CROSS.paths)}).state_dict()


def test_weights_of_another_scan_are_refused() -> None:
    one, other = (MambaIR(**SMALL, scan={"paths": [name]}) for name in ("snake", "gilbert"))
    with pytest.raises(RuntimeError, match="trained with 'sum snake', not 'sum gilbert'"):
        other.load_state_dict(one.state_dict(), strict=False)


@pytest.mark.parametrize("told", [b"sum curl", b"sum", b"\xff", b""])
def test_weights_that_tell_nonsense(told: bytes) -> None:
    state = MambaIR(**SMALL, scan={"paths": ["snake"]}).state_dict()
    state[KEY] = torch.tensor(list(told), dtype=torch.uint8)
    with pytest.raises(UnknownWeightsError, match=KEY):
        identify(state)


@pytest.mark.parametrize(
    "network",
    [
        lambda scan: MambaIRUNet(dim=30, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, d_state=1, scan=scan),
        lambda scan: MambaIRDehaze(dims=(8, 12, 12, 12), num_blocks=(1, 1, 1), num_decoder_blocks=(1, 1), scan=scan),
    ],
)
def test_u_shapes_take_it_too(network: Any) -> None:
    made = network({"paths": ["snake", "column"], "merge": "alternate"})
    assert identify(made.state_dict()).config == made.config
    assert {layer.paths[0].name for layer in made.modules() if isinstance(layer, SS2D)} == {"snake", "column"}


def scans(merging: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What an SS2D merges, and the results of its paths."""
    torch.manual_seed(0)
    chosen = (paths.get("snake"), paths.get("column"))
    layer = SS2D(6, 2, 6, chosen, merging=merging)
    size = 3 if merging == "concat" else 6
    parts = x.chunk(2, -1) if size == 3 else (x, x)
    return layer.merge(x), [
        layer.scan_along(k, part, path) for k, (part, path) in enumerate(zip(parts, chosen, strict=True))
    ]


def test_merges_are_what_they_say() -> None:
    x = torch.randn(2, 4, 5, 6)
    merged, (first, second) = scans("sum", x)
    torch.testing.assert_close(merged, first + second)
    merged, (first, second) = scans("mean", x)
    torch.testing.assert_close(merged, (first + second) / 2)
    merged, (first, second) = scans("concat", x)
    torch.testing.assert_close(merged, torch.cat([first, second], -1))
    merged, (first, second) = scans("gated", x)
    assert (merged - first - second).abs().max() > 1e-3
    bound = first.abs() + second.abs()
    assert (merged.abs() <= bound).all()


def test_stripes_other_than_the_published_are_told() -> None:
    small: dict[str, Any] = {"embed_dim": 8, "depths": (2,), "upscale": 2, "upsampler": "pixelshuffledirect"}
    for width in (8, 6):
        network = MaIR(**small, scan_len=width)
        assert (KEY in network.state_dict()) == (width != 8)
        assert identify(network.state_dict()).config.scan_len == width


def test_impossible_scans() -> None:
    with pytest.raises(ValueError, match="scan has no paths"):
        Scan(paths=())
    with pytest.raises(ValueError, match="rastr is not a scan path"):
        Scan(paths=("raster", "rastr"))
    with pytest.raises(ValueError, match="expected one of sum, mean"):
        create(Scan, {"merge": "max"})
    with pytest.raises(ValueError, match="cannot share 12 channels out equally over 5 paths"):
        MambaIR(**SMALL, scan={"paths": ["raster"] * 5, "merge": "concat"})


def test_recipes_are_told_what_is_wrong_with_it(tmp_path: Path) -> None:
    scan = "  depths: [2, 2]\n  scan: {paths: [snake, colum], merge: sums, path: 1}\n"
    with pytest.raises(RecipeError) as caught:
        read_recipe(str(write(tmp_path, broken(("  depths: [2, 2]\n", scan)))))
    told = str(caught.value)
    assert "unknown key 'path' in network_g.scan. Did you mean 'paths'?" in told
    assert "network_g.scan.merge is 'sums'" in told
    with pytest.raises(RecipeError, match="scan: colum is not a scan path"):
        read_recipe(str(write(tmp_path, broken(("  depths: [2, 2]\n", scan.replace("sums, path: 1", "sum"))))))
    right = "  depths: [2, 2]\n  scan: {paths: [snake, hilbert], merge: gated}\n"
    read_recipe(str(write(tmp_path, broken(("  depths: [2, 2]\n", right)))))
