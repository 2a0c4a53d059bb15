"""Choices on real networks: a small one made on the spot, and the one that ships."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mambair_archs import MambaIRNano, registry
from mambair_cli import load_model
from mambair_cli import restore as public
from mambair_cli.data.resize import imresize
from mambair_cli.errors import UsageError
from mambair_cli.images.decode import decode
from mambair_cli.images.picture import Pixels
from mambair_cli.metrics.psnr import psnr
from mambair_cli.restoration import engine, prepared
from mambair_cli.restoration.choices import Choices
from mambair_cli.restoration.engine import Report
from mambair_cli.restoration.model import blended, bytes_per_pixel
from mambair_cli.weights.model import Model
from tests.restoration.stubs import restore

CAT = Path(__file__).parents[2] / "datasets" / "samples" / "cat.png"


@pytest.fixture(scope="module")
def enlarging(checkpoint: Callable[..., Path]) -> Model:
    return load_model(checkpoint(upscale=2), "cpu")


@pytest.fixture(scope="module")
def keeping(checkpoint: Callable[..., Path]) -> Model:
    return load_model(checkpoint(upscale=1, upsampler=""), "cpu")


@pytest.fixture(params=[(np.uint8, 1), (np.uint16, 2), (np.uint8, 3), (np.uint16, 4)], ids=str)
def picture(request: pytest.FixtureRequest, rng: np.random.Generator) -> Pixels:
    dtype, channels = request.param
    return rng.integers(0, np.iinfo(dtype).max, (20, 30, channels), dtype, endpoint=True)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (40, 60)),
        ({"scale": 1.5}, (30, 45)),
        ({"scale": 1}, (20, 30)),
        ({"width": 50}, (33, 50)),
        ({"height": 45}, (45, 68)),
        ({"width": 31, "height": 50}, (50, 31)),
        ({"scale": 3.1}, (62, 93)),
    ],
)
def test_any_size_in_the_type_of_the_picture(
    enlarging: Model, picture: Pixels, options: dict[str, Any], size: tuple[int, int]
) -> None:
    found = restore(picture, enlarging, **options)
    assert found.shape == (*size, picture.shape[2])
    assert found.dtype == picture.dtype


def test_notes_say_what_was_interpolated(enlarging: Model, picture: Pixels) -> None:
    report = Report()
    restore(picture, enlarging, width=200, height=60, report=report)
    assert len(report.notes) == 2
    assert "enlarges 2 times" in report.notes[0]
    assert "change the proportions" in report.notes[1]


def test_strength_0_and_1_are_input_and_result(keeping: Model, picture: Pixels) -> None:
    full = restore(picture, keeping)
    assert np.array_equal(restore(picture, keeping, strength=1), full)
    none = restore(picture, keeping, strength=0)
    assert np.array_equal(none, picture)
    assert none is not picture
    half = restore(picture, keeping, strength=0.5).astype(float)
    assert not np.array_equal(full, picture)
    clipped = (full == 0) | (full == np.iinfo(full.dtype).max)
    assert np.abs(half - (picture / 2 + full / 2))[~clipped].max() <= 1.01


def invert(x: torch.Tensor) -> torch.Tensor:
    return 1 - x


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_moves_from_input_to_result(channels: int, dtype: type, rng: np.random.Generator) -> None:
    white = np.iinfo(dtype).max
    pixels = rng.integers(0, white, (40, 30, channels), dtype, endpoint=True)
    tiling = engine.Settings(scale=1, channels=channels, tile=16, overlap=4)

    def at(strength: float) -> Pixels:
        return engine.restore(pixels, blended(invert, strength), tiling)

    assert np.array_equal(at(0), pixels)
    assert np.array_equal(at(1), white - pixels)
    quarter = pixels + 0.25 * (white - 2.0 * pixels)
    assert np.abs(at(0.25) - quarter).max() <= 0.5 + 1e-6 * white


def test_unclipped_noise_is_blended_too(keeping: Model) -> None:
    noisy = np.random.default_rng(0).normal(0.5, 0.5, (16, 16, 3)).astype(np.float32)
    found = restore(noisy, keeping, strength=0, unclipped=True)
    assert np.array_equal(found, np.clip(noisy, 0, 1))


def test_enlarging_with_strength_goes_from_interpolation_to_the_network(enlarging: Model) -> None:
    rng = np.random.default_rng(0)
    picture = rng.random((16, 12, 3), np.float32)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None]
    bicubic = F.interpolate(tensor, scale_factor=2, mode="bicubic")[0].permute(1, 2, 0).numpy().clip(0, 1)
    none, half, full = (restore(picture, enlarging, strength=strength) for strength in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(none, bicubic, atol=1e-6)
    inside = (half > 0) & (half < 1) & (full > 0) & (full < 1) & (none > 0) & (none < 1)
    np.testing.assert_allclose(half[inside], ((none + full) / 2)[inside], atol=1e-6)


@pytest.mark.parametrize(("wrap", "repeats"), [("xy", (3, 3)), ("x", (1, 3)), ("y", (3, 1))])
def test_a_wrapped_picture_is_the_middle_of_itself_repeated(wrap: str, repeats: tuple[int, int]) -> None:
    """By a network of small sight, to the bit; so that the seam is as good as the inside.

    Rounding depends on where a square of 4 x 4 results begins, so the sides are multiples of four.
    """
    picture = np.random.default_rng(0).integers(0, 256, (72, 88, 3), np.uint8)
    model = local(scale=2)
    repeated = restore(np.tile(picture, (*repeats, 1)), model, tile=0)
    rows, columns = (
        (slice(144, 288) if repeats[0] == 3 else slice(None)),
        (slice(176, 352) if repeats[1] == 3 else slice(None)),
    )
    assert np.array_equal(restore(picture, model, wrap=wrap), repeated[rows, columns])
    assert not np.array_equal(restore(picture, model), repeated[rows, columns])


def local(scale: int) -> Model:
    """A model whose every pixel depends on those at most three away."""
    torch.manual_seed(0)
    network = MambaIRNano(upscale=scale, embed_dim=4, depth=1, scan_after=()).eval()
    for value in network.parameters():
        value.data += 0.1 * torch.randn(value.shape)
    found = registry.identify(network.state_dict())
    return Model("local", Path("local"), None, "MambaIRNano", found.descriptor, network, torch.device("cpu"))


def test_refusals(enlarging: Model, keeping: Model, picture: Pixels) -> None:
    with pytest.raises(UsageError, match="cannot be wrapped along z"):
        restore(picture, enlarging, wrap="z")
    with pytest.raises(UsageError, match="keeps the size"):
        restore(picture, keeping, scale=2)
    with pytest.raises(UsageError, match="no precision"):
        restore(picture, keeping, precision="int8")
    with pytest.raises(UsageError, match="cannot do more than all"):
        restore(picture, keeping, strength=2)
    for strength in (-0.1, 2.1, float("nan")):
        with pytest.raises(UsageError, match="not between 0 and 2"):
            Choices(strength=strength)


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_a_network_that_overflows_is_redone_in_full_precision(keeping: Model, name: str, picture: Pixels) -> None:
    expected, report = restore(picture, keeping), Report()
    with pytest.MonkeyPatch.context() as patch:
        forward = keeping.network.forward

        def overflowing(x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = forward(x)
            return y * torch.inf if torch.is_autocast_enabled("cpu") else y

        patch.setattr(keeping.network, "forward", overflowing)
        found = restore(picture, keeping, tile=16, overlap=0, precision=name, report=report)
        assert np.array_equal(found, restore(picture, keeping, tile=16, overlap=0))
    assert [note for note in report.notes if "numbers" in note] == [
        f"{name} gave values that are not numbers, redone in fp32"
    ]
    assert found.shape == expected.shape


def test_ensembles_turn_with_the_picture(keeping: Model, picture: Pixels) -> None:
    white = np.iinfo(picture.dtype).max
    plain = restore(picture, keeping, tile=0, ensemble=True)
    turned = restore(np.rot90(picture), keeping, tile=0, ensemble=True)
    assert np.abs(np.rot90(plain).astype(float) - turned).max() <= max(1, white * 1e-5)


def test_ensembles_need_more_memory(enlarging: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bytes_per_pixel(enlarging, True) >= bytes_per_pixel(enlarging, False) + 3 * 4 * 16
    asked: list[int] = []

    def fitting(*given: Any, **_: Any) -> int:
        asked.append(given[-1])
        return 0

    monkeypatch.setattr(prepared, "fitting", fitting)
    for ensemble in (False, True):
        restore(np.zeros((4, 4, 3), np.uint8), enlarging, ensemble=ensemble)
    assert asked == [bytes_per_pixel(enlarging, ensemble) for ensemble in (False, True)]


def test_the_python_interface_takes_the_same_choices(
    enlarging: Model, keeping: Model, rng: np.random.Generator
) -> None:
    gray = rng.integers(0, 256, (20, 30), np.uint8)
    found = public(gray, enlarging, scale=1.5, ensemble=True, precision="bf16")
    assert found.shape == (30, 45)
    assert np.array_equal(
        found, restore(gray[:, :, None], enlarging, scale=1.5, ensemble=True, precision="bf16")[:, :, 0]
    )
    assert public(gray, enlarging, width=45).shape == (30, 45)
    assert np.array_equal(public(gray, keeping, strength=0), gray)
    for wrong in ({"scale": "2"}, {"strength": None}, {"width": 2.5}, {"height": "9"}):
        with pytest.raises(UsageError, match="number"):
            public(gray, enlarging, **wrong)


def test_the_network_that_ships() -> None:
    """Smaller sizes lose nothing, eight views are no worse than one, and half precision is as good."""
    model = load_model("mambair-nano-x2", "cpu")
    original: Any = decode(CAT).pixels[:150, :224]
    small: Any = imresize(original, 1 / 2)  # as it was trained to undo
    plain = restore(small, model)

    def score(pixels: Any) -> float:
        return psnr(pixels, original, 4, False)

    assert score(restore(small, model, ensemble=True)) > score(plain) - 0.02
    for precision in ("bf16", "fp16"):
        report = Report()
        assert score(restore(small, model, precision=precision, report=report)) > score(plain) - 0.05
        assert report.notes == []
    assert np.array_equal(restore(small, model, scale=2, ensemble=False), plain)
    back = restore(small, model, scale=1)
    assert psnr(back, small, 4, False) > 30
