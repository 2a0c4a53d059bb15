"""One look at the whole picture, then tiles: the result is that of the whole, bit for bit."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mambair_archs import MambaIRDehaze
from mambair_archs.network import Place, view_size
from mambair_cli.images.picture import Pixels
from mambair_cli.restoration import global_view
from mambair_cli.restoration.engine import CPU, Report, Settings, restore
from mambair_cli.weights.loader import load
from mambair_cli.weights.model import Model
from tests.restoration.stubs import Forward, RunsOutOfMemory, pointwise, streamed
from tests.restoration.stubs import restore as apply

WHITE: dict[type[np.generic], int] = {np.uint8: 255, np.uint16: 65535, np.float32: 1}
SMALL = {"dims": (8, 8, 8, 8), "num_blocks": (1, 1, 1), "num_decoder_blocks": (1, 1), "d_state": 2}


class LooksSmall(MambaIRDehaze):
    """Sees at most 48 pixels, and counts."""

    global_view = 48

    def __init__(self) -> None:
        super().__init__(**SMALL)
        self.looks, self.regions = 0, 0
        torch.nn.init.normal_(self.output.weight, std=0.2)

    def look(self, view: Tensor, strength: float = 1.0) -> Tensor:
        self.looks += 1
        return super().look(view, strength)


@pytest.fixture(scope="module")
def network() -> LooksSmall:
    torch.manual_seed(3)
    return LooksSmall().eval()


def tiling(tile: int, overlap: int = 0) -> Settings:
    return Settings(scale=1, channels=3, tile=tile, overlap=overlap, global_view=48)


@pytest.mark.parametrize("size", [(200, 130), (47, 48), (90, 301), (1, 77)])
@pytest.mark.parametrize("dtype", WHITE)
def test_tiled_equals_whole(
    network: LooksSmall, size: tuple[int, int], dtype: type[np.generic], rng: np.random.Generator
) -> None:
    values = rng.random((*size, 3), np.float32)
    pixels: Pixels = (values * WHITE[dtype]).astype(dtype)
    whole = restore(pixels, network, tiling(0))
    assert (whole != pixels).any()
    for tile, overlap in ((32, 0), (57, 16), (64, 33)):
        assert np.array_equal(restore(pixels, network, tiling(tile, overlap)), whole)


def test_the_engine_gives_what_the_network_gives(network: LooksSmall, rng: np.random.Generator) -> None:
    pixels = rng.random((150, 210, 3), np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels.transpose(2, 0, 1))[None])[0].permute(1, 2, 0).clamp(0, 1)
    np.testing.assert_allclose(restore(pixels, network, tiling(40, 8)), expected, atol=2e-6)


def test_the_picture_is_looked_at_once(rng: np.random.Generator) -> None:
    network = LooksSmall().eval()
    restore(rng.random((100, 90, 3), np.float32), network, tiling(32))
    assert network.looks == 1


def test_gray_and_transparent_pictures(network: LooksSmall, rng: np.random.Generator) -> None:
    gray = rng.integers(0, 256, (70, 60, 2), np.uint8)
    result = restore(gray, network, tiling(32))
    assert result.shape == gray.shape
    assert np.array_equal(result[:, :, 1], gray[:, :, 1])
    assert np.array_equal(result, restore(gray, network, tiling(0)))


def test_tiles_made_smaller_give_the_same(network: LooksSmall, rng: np.random.Generator) -> None:
    class Fails(LooksSmall):
        def apply_view(self, region: Tensor, state: Tensor, place: Place) -> Tensor:
            self.regions += 1
            if self.regions == 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().apply_view(region, state, place)

    failing, report = Fails().eval(), Report()
    failing.load_state_dict(network.state_dict())
    pixels = rng.integers(0, 256, (100, 90, 3), np.uint8)
    assert np.array_equal(restore(pixels, failing, tiling(32), report), restore(pixels, network, tiling(0)))
    assert report.tile == 24


@pytest.mark.parametrize("shape", [(200, 130), (48, 20), (49, 500), (97, 97), (1, 400)])
def test_the_view_is_an_average_of_the_whole_read_from_top_to_bottom(
    shape: tuple[int, int], rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, 256, (*shape, 3), np.uint8)
    asked: list[tuple[int, int]] = []

    def rows(start: int, stop: int) -> Pixels:
        asked.append((start, stop))
        return pixels[start:stop]

    found = global_view.view(rows, shape, 3, 48)
    whole = torch.from_numpy(pixels.transpose(2, 0, 1))[None].double() / 255
    expected = F.adaptive_avg_pool2d(whole, view_size(*shape, 48))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-6)
    assert asked == sorted(asked)
    assert max(stop - start for start, stop in asked) <= -(-shape[0] // found.shape[2]) + 1


def test_a_plain_network_needs_no_look(rng: np.random.Generator) -> None:
    x = torch.rand(1, 3, 8, 8)

    def rows(start: int, stop: int) -> Pixels:
        raise AssertionError("the picture was read")

    on_region = global_view.on_regions(pointwise(1), rows, (8, 8), 3, 0, CPU)
    assert torch.equal(on_region(x, 0, 0), pointwise(1)(x))


def test_a_network_that_hides_its_view_is_refused(network: LooksSmall) -> None:
    with pytest.raises(TypeError, match="RunsOutOfMemory hides the global view"):
        restore(np.zeros((9, 9, 3), np.uint8), RunsOutOfMemory(network, set()), tiling(4))


@pytest.mark.parametrize("size", [(200, 130), (47, 301)])
def test_rows_of_a_file_give_the_same(network: LooksSmall, size: tuple[int, int], rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (*size, 3), np.uint8)
    found = streamed(Forward(pixels), network, tiling(32, 8))
    assert np.array_equal(found, restore(pixels, network, tiling(0)))


@pytest.fixture(scope="module")
def loaded(network: LooksSmall, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("weights") / "haze.pth"
    torch.save({"params": network.state_dict()}, path)
    return load(str(path), "cpu")


def picture(rng: np.random.Generator, height: int = 128, width: int = 96) -> Pixels:
    return rng.random((height, width, 3), np.float32)


@pytest.mark.parametrize("tile", [0, 40])
def test_strength_blends_with_the_input(loaded: Model, tile: int, rng: np.random.Generator) -> None:
    pixels = picture(rng) / 4 + 0.5  # so that nothing is cut off
    half, full = (apply(pixels, loaded, tile=tile, strength=strength) for strength in (0.5, 1.0))
    assert np.abs(full - pixels).max() > 0.01
    np.testing.assert_allclose(half, (pixels + full) / 2, atol=1e-6)


def test_more_strength_takes_more_away(loaded: Model, rng: np.random.Generator) -> None:
    pixels = picture(rng) / 4 + 0.5
    changes = [float(np.abs(apply(pixels, loaded, strength=strength) - pixels).mean()) for strength in (1, 1.2, 1.5, 2)]
    assert changes == sorted(changes)
    assert changes[3] > 1.5 * changes[0]


def test_a_picture_in_doubt_is_hazy_to_who_insists(network: LooksSmall, rng: np.random.Generator) -> None:
    view = torch.from_numpy(picture(rng)).permute(2, 0, 1)[None] / 4 + 0.5

    def looked(logit: float, strength: float = 1.0) -> Tensor:
        doubtful = copy.deepcopy(network)
        torch.nn.init.constant_(doubtful.presence.bias, logit)
        state: Tensor = doubtful.look(view, strength)
        return state

    none, full = looked(-1e4), looked(2)
    assert (looked(-6) - none).abs().max() < 0.01 * (full - none).abs().max()
    torch.testing.assert_close(looked(-6, 1.5), none + 1.5 * (full - none), rtol=1e-3, atol=1e-3)


def test_with_all_symmetries_turning_the_input_turns_the_output(loaded: Model, rng: np.random.Generator) -> None:
    pixels = picture(rng)
    found = apply(pixels, loaded, ensemble=True)
    assert np.abs(found - apply(pixels, loaded)).max() > 1e-4
    turned = apply(np.ascontiguousarray(np.rot90(pixels)), loaded, ensemble=True)
    np.testing.assert_allclose(turned, np.rot90(found), atol=1e-5)


def test_half_precision_looks_in_full(loaded: Model, rng: np.random.Generator) -> None:
    pixels = picture(rng)
    found = apply(pixels, loaded, precision="bf16", tile=40)
    np.testing.assert_allclose(found, apply(pixels, loaded), atol=1e-2)
