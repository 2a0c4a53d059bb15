from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mambair_cli.data import degrade, photos
from mambair_cli.data.combined import Chain, Mix, from_options, gray
from mambair_cli.data.datasets import PhotoPatchDataset
from mambair_cli.data.degradations import Bicubic, Box, Jpeg, Noise, Nothing
from mambair_cli.data.resize import imresize
from mambair_cli.errors import UsageError
from tests.data.pictures import write

BOX = Box(32, 48, 24, 40)


@pytest.fixture
def photo(rng: np.random.Generator) -> degrade.Bytes:
    return rng.integers(0, 256, (160, 200, 3), dtype=np.uint8)


class Shift:
    """Every pixel becomes the one ``by`` columns to its right, so that a patch needs its surroundings."""

    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, photo: degrade.Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        return np.roll(photo, -self.by, axis=1)[box.top : box.top + box.height, box.left : box.left + box.width]


def test_a_chain_applies_its_steps_in_order_and_with_their_surroundings(
    photo: degrade.Bytes, rng: np.random.Generator
) -> None:
    chain = Chain((Shift(5), Shift(7), Shift(9)))
    np.testing.assert_array_equal(chain(photo, BOX, rng), photo[32:56, 48 + 21 : 88 + 21])


def test_a_chain_stores_what_is_between_its_steps(photo: degrade.Bytes) -> None:
    patches: list[NDArray[Any]] = []

    def seen(photo: degrade.Bytes, box: Box, rng: np.random.Generator) -> NDArray[Any]:
        patches.append(box.cut(photo))
        return box.cut(photo)

    noisy = Chain((Noise((50, 50)), seen))(photo, BOX, np.random.default_rng(0))
    assert noisy.dtype == patches[0].dtype == np.uint8
    difference = noisy.astype(int) - BOX.cut(photo)
    inside = (BOX.cut(photo) > 100) & (BOX.cut(photo) < 155)
    assert difference[inside].std() == pytest.approx(50, rel=0.15)
    last = Chain((Nothing(), Noise((50, 50))))(photo, BOX, np.random.default_rng(0))
    assert last.dtype == np.float32
    assert last.min() < 0


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_chain_may_begin_with_a_smaller_photo(photo: degrade.Bytes, scale: int, rng: np.random.Generator) -> None:
    photo = photo[:156, :192]
    box = Box(48, 60, 60, 48)
    small = box.within(Box(0, 0, 0, 0), scale)
    whole = imresize(photo, 1 / scale)
    found = Chain((Bicubic(scale), Nothing(), Shift(3)))(photo, box, rng)
    np.testing.assert_array_equal(found, Shift(3)(whole, small, rng))


def test_noise_in_a_chain_is_compressed(photo: degrade.Bytes) -> None:
    flat = np.full_like(photo, 128)
    chain = Chain((Noise((30, 30)), Jpeg((10, 10))))
    result = chain(flat, BOX, np.random.default_rng(0))
    assert result.shape == (24, 40, 3)
    assert 3 < result.astype(float).std() < 20  # of 30, most of it fine


def test_a_mix_draws_as_often_as_it_says(photo: degrade.Bytes, rng: np.random.Generator) -> None:
    mix = Mix((Shift(0), Shift(1), Shift(2), Shift(3)), (5, 3, 2, 0))
    ways = [photo[32:56, 48 + by : 88 + by].tobytes() for by in range(4)]
    counts = Counter(ways.index(mix(photo, BOX, rng).tobytes()) for _ in range(2000))
    assert [counts[way] / 2000 for way in range(4)] == pytest.approx([0.5, 0.3, 0.2, 0], abs=0.04)
    even = Counter(Mix((Shift(0), Shift(1)))(photo, BOX, rng).tobytes() for _ in range(500))
    assert min(even.values()) > 200


def test_gray_patches_are_those_of_the_gray_photo(photo: degrade.Bytes) -> None:
    luma = photos.luma(photo)
    for seed in range(20):
        high, low = gray(Jpeg((30, 30)), photo, BOX, np.random.default_rng(seed))
        expected = Jpeg((30, 30))(luma, BOX, np.random.default_rng(seed))
        for patch, plain in ((high, BOX.cut(luma)), (low, expected)):
            assert patch.shape == (24, 40, 3)
            np.testing.assert_array_equal(patch, np.broadcast_to(plain, patch.shape))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_small_gray_patches_are_those_of_the_small_gray_photo(photo: degrade.Bytes, scale: int) -> None:
    photo = photo[:156, :192]
    box = Box(96, 144, 60, 48)
    high, low = gray(Bicubic(scale), photo, box, np.random.default_rng(0))
    whole = imresize(photos.luma(photo), 1 / scale)
    np.testing.assert_array_equal(low[:, :, 1:2], box.within(Box(0, 0, 0, 0), scale).cut(whole))
    assert high.shape == (60, 48, 3)


def test_the_share_of_gray_patches(tmp_path: Path, photo: degrade.Bytes) -> None:
    write(tmp_path / "photo.png", photo)
    options = {"dataroot_gt": str(tmp_path), "gt_size": 24, "degradation": {"type": "noise", "sigma": 20}}

    def made(**more: float) -> list[dict[str, Any]]:
        data = PhotoPatchDataset({**options, **more})
        return [data[index] for index in range(200)]

    def is_gray(item: dict[str, Any], key: str) -> bool:
        return bool((item[key] == item[key][:1]).all())

    items = made(gray_probability=0.3)
    assert np.mean([is_gray(item, "gt") for item in items]) == pytest.approx(0.3, abs=0.1)
    assert all(is_gray(item, "gt") == is_gray(item, "lq") for item in items)
    for item, same in zip(made(), made(gray_probability=0), strict=True):
        assert not is_gray(item, "gt")
        assert (item["lq"] == same["lq"]).all()


def test_options_become_combinations() -> None:
    noise, jpeg = {"type": "noise", "sigma": 25}, {"type": "jpeg", "quality": [10, 40]}
    chain = {"type": "chain", "steps": [noise, jpeg]}
    made = Chain((Noise((25, 25)), Jpeg((10, 40))))
    assert from_options(noise, 1) == Noise((25, 25))
    assert from_options({}, 3) == Bicubic(3)
    assert from_options(chain, 1) == made
    assert from_options({"type": "mix", "of": [chain, {"type": "none"}]}, 1) == Mix((made, Nothing()))
    bicubic = {"type": "bicubic"}
    chain = {"type": "chain", "steps": [bicubic, noise]}
    assert from_options({"type": "mix", "of": [bicubic, chain]}, 3) == Mix(
        (Bicubic(3), Chain((Bicubic(3), Noise((25, 25)))))
    )
    assert from_options({"type": "mix", "of": [noise, noise], "shares": [3, 1]}, 1) == Mix(
        (Noise((25, 25)), Noise((25, 25))), (3, 1)
    )


@pytest.mark.parametrize(
    ("options", "scale", "words"),
    [
        ({"type": "chain", "steps": [{"type": "none"}, {"type": "bicubic"}]}, 1, "not the first"),
        ({"type": "chain", "steps": [{"type": "bicubic"}, {"type": "bicubic"}]}, 2, "not the first"),
        ({"type": "chain", "steps": [{"type": "none"}]}, 2, "scale is 2"),
        ({"type": "chain"}, 1, "lacks 'steps'"),
        ({"type": "chain", "steps": []}, 1, "steps is"),
        ({"type": "mix", "of": ["noise"]}, 1, "of.0 is 'noise'"),
        ({"type": "mix", "of": [{"type": "none"}]}, 2, "scale is 2"),
        ({"type": "mix", "of": [{"type": "none"}], "shares": [1, 2]}, 1, "does not fit 1"),
        ({"type": "mix", "of": [{"type": "none"}], "shares": [0]}, 1, "does not fit 1"),
        ({"type": "mix", "of": [{"type": "none"}], "shares": "all"}, 1, "shares is 'all'"),
        ({"type": "chain", "steps": [{"type": "none"}], "shares": [1]}, 1, "no option 'shares'"),
        ({"type": "chain", "steps": [{"type": "blur"}]}, 1, "no degradation 'blur'"),
    ],
)
def test_combinations_that_make_no_sense_are_refused(options: dict[str, Any], scale: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        from_options(options, scale)
