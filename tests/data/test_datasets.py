from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mambair_cli.data import photos
from mambair_cli.data.datasets import PhotoFolderDataset, PhotoPatchDataset, symmetry
from mambair_cli.data.resize import imresize
from mambair_cli.errors import InputError, UsageError
from tests.data.pictures import write

HEIGHT, WIDTH, EDGE = 75, 102, 24


@pytest.fixture
def charted(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A folder with one photo whose red and green say where a pixel comes from."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    blue = rng.integers(0, 256, (HEIGHT, WIDTH))
    write(tmp_path / "photos" / "chart.png", np.stack([rows, columns, blue], axis=2).astype(np.uint8))
    return tmp_path / "photos"


def pixels(planes: torch.Tensor) -> Any:
    scaled = planes.permute(1, 2, 0).numpy() * 255
    assert np.abs(scaled - np.rint(scaled)).max() < 1e-4
    return np.rint(scaled).astype(np.uint8)


def patches(folder: Path, **options: Any) -> PhotoPatchDataset:
    return PhotoPatchDataset({"dataroot_gt": str(folder), "gt_size": EDGE, "scale": 1, **options})


def way_of(high: Any) -> tuple[bool, bool, bool]:
    """Which symmetry made this patch of the charted photo."""
    turned = bool(high[0, 0, 0] == high[1, 0, 0])  # rows run along columns
    upright = high.swapaxes(0, 1) if turned else high
    return bool(upright[0, 0, 1] > upright[0, 1, 1]), bool(upright[0, 0, 0] > upright[1, 0, 0]), turned


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_pair_is_a_patch_of_the_photo_and_the_same_patch_of_the_small_photo(charted: Path, scale: int) -> None:
    data = patches(charted, scale=scale)
    photo = photos.load(charted / "chart.png")[: HEIGHT - HEIGHT % scale, : WIDTH - WIDTH % scale]
    small = imresize(photo, 1 / scale)
    seen: Counter[tuple[bool, ...]] = Counter()
    for index in range(120):
        item = data[index]
        high, low = pixels(item["gt"]), pixels(item["lq"])
        top, left = int(high[:, :, 0].min()), int(high[:, :, 1].min())
        way = way_of(high)
        seen[way] += 1
        here = symmetry(photo[top : top + EDGE, left : left + EDGE], *way)
        np.testing.assert_array_equal(high, here)
        top, left, edge = top // scale, left // scale, EDGE // scale
        np.testing.assert_array_equal(low, symmetry(small[top : top + edge, left : left + edge], *way))
    assert len(seen) == 8


def test_symmetries_can_be_left_out(charted: Path) -> None:
    assert {way_of(pixels(patches(charted, use_hflip=False, use_rot=False)[i]["gt"])) for i in range(20)} == {(0, 0, 0)}
    mirrored = {way_of(pixels(patches(charted, use_rot=False)[i]["gt"])) for i in range(20)}
    assert mirrored == {(False, False, False), (True, False, False)}


def test_places_reach_all_borders(charted: Path) -> None:
    data = patches(charted, use_rot=False, use_hflip=False)
    corners = np.array([pixels(data[i]["gt"])[0, 0, :2] for i in range(1500)])
    assert corners.min(axis=0).tolist() == [0, 0]
    assert corners.max(axis=0).tolist() == [HEIGHT - EDGE, WIDTH - EDGE]


def test_items_are_what_basicsr_expects_and_a_function_of_the_generator(charted: Path) -> None:
    data = patches(charted, scale=2, patches_per_photo=7)
    assert len(data) == 7
    item = data[3]
    assert set(item) == {"lq", "gt", "lq_path", "gt_path"}
    assert (item["lq"].shape, item["gt"].shape) == ((3, 12, 12), (3, 24, 24))
    assert item["lq"].dtype == item["gt"].dtype == torch.float32
    assert item["gt_path"] == str(charted / "chart.png")
    drawn = [data.draw(3, np.random.default_rng(seed))["gt"] for seed in (3, 4)]
    assert torch.equal(drawn[0], item["gt"])
    assert not torch.equal(drawn[1], item["gt"])
    assert item["lq"].is_contiguous()


def test_detail_is_preferred(tmp_path: Path, rng: np.random.Generator) -> None:
    half = np.full((160, 320, 3), 128, np.uint8)
    half[:, 160:] = rng.integers(0, 256, (160, 160, 3))
    write(tmp_path / "half.png", half)
    shares = []
    for detail in (0, 1):
        data = patches(tmp_path, detail=detail)
        shares.append(np.mean([data[i]["gt"].std(dim=(1, 2)).max() > 0.05 for i in range(200)]))
    assert shares[0] == pytest.approx(160 / 296, abs=0.12)
    assert shares[1] > 0.9


def test_detail_sums_are_mean_differences(rng: np.random.Generator) -> None:
    photo = np.zeros((64, 96, 3), np.uint8)
    photo[32:, :, 1] = np.arange(96) % 2 * 100  # differs from its right neighbour by 100 everywhere
    sums = photos.detail(photo)
    assert sums.shape == (5, 7)
    assert photos.detail_of(sums, (0, 0), 16) == 0
    assert photos.detail_of(sums, (32, 32), 32) == pytest.approx(4 * 50, rel=0.05)


@pytest.fixture
def album(tmp_path: Path, rng: np.random.Generator) -> Path:
    for number in range(5):
        write(tmp_path / "album" / f"{number}.png", rng.integers(0, 256, (40, 48, 3), dtype=np.uint8))
    return tmp_path / "album"


@pytest.mark.parametrize("options", [{"cache_mib": 0}, {"cache_mib": 1}, {"in_memory": True}])
def test_the_cache_changes_nothing(album: Path, options: dict[str, Any]) -> None:
    data = patches(album, **options)
    for index in (0, 1, 4, 1, 0, 3):
        assert torch.equal(data[index]["gt"], patches(album)[index]["gt"])


def test_the_cache_is_bounded_and_keeps_what_was_used_last(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    decode = photos.load

    def load(path: Path, gray: bool) -> Any:
        loaded.append(path.stem)
        return decode(path, gray)

    monkeypatch.setattr(photos, "load", load)
    kept = photos.Photos(photos.find(album), keep=2 * 40 * 48 * 3)
    for index in (0, 1, 0, 2, 0, 1):
        assert kept[index].pixels.shape == (40, 48, 3)
    assert loaded == ["0", "1", "2", "1"]
    kept = photos.Photos(photos.find(album), keep=1)
    kept.preload()
    loaded.clear()
    assert [kept[index].pixels.shape for index in range(5)] == [(40, 48, 3)] * 5
    assert not loaded


def test_gray_alpha_and_deep_photos_become_what_is_wanted(tmp_path: Path, rng: np.random.Generator) -> None:
    deep = rng.integers(0, 65536, (32, 32, 4), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    cv2.imwrite(str(tmp_path / "gray.png"), rng.integers(0, 256, (32, 32), dtype=np.uint8))
    rgb = photos.load(tmp_path / "deep.png")
    np.testing.assert_array_equal(rgb, np.rint(deep[:, :, 2::-1] / 257))
    gray = photos.load(tmp_path / "deep.png", gray=True)
    luma = rgb @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert np.abs(gray[:, :, 0] - luma).max() < 0.51
    plain = photos.load(tmp_path / "gray.png")
    assert plain.shape == (32, 32, 3)
    assert (plain == photos.load(tmp_path / "gray.png", gray=True)).all()
    item = patches(tmp_path, gray=True, degradation={"type": "jpeg", "quality": 30})[0]
    assert item["lq"].shape == item["gt"].shape == (1, EDGE, EDGE)
    assert not torch.equal(item["lq"], item["gt"])


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"dataroot_gt": "nowhere"}, InputError, "nowhere does not exist"),
        ({"gt_size": 25, "scale": 2}, UsageError, "no multiple"),
        ({"gt_size": 0}, UsageError, "gt_size is 0"),
        ({"gt_size": 200}, InputError, "5 of 5 .*48 x 40 pixels, less than 200"),
        ({"detail": 2}, UsageError, "detail is 2"),
        ({"degradation": {"type": "rain"}}, UsageError, "rain"),
    ],
)
def test_bad_options_are_refused(album: Path, options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        PhotoPatchDataset({"dataroot_gt": [str(album)], "gt_size": EDGE, **options})


def test_files_that_are_no_images_are_named_before_training(album: Path, tmp_path: Path) -> None:
    (album / "bad.jpg").write_bytes(b"<html>")
    with pytest.raises(InputError, match=r"1 of 6 images cannot be used: .*bad.jpg \(unreadable\)"):
        patches(album)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image"):
        patches(tmp_path / "empty")


def folder(root: Path, **options: Any) -> PhotoFolderDataset:
    return PhotoFolderDataset({"dataroot_gt": str(root), **options})


def test_validation_photos_are_whole_and_spoilt_the_same_way_every_time(charted: Path) -> None:
    item = folder(charted, scale=4)[0]
    photo = photos.load(charted / "chart.png")[:72, :100]
    np.testing.assert_array_equal(pixels(item["gt"]), photo)
    np.testing.assert_array_equal(pixels(item["lq"]), imresize(photo, 1 / 4))
    noise = {"type": "noise", "sigma": 20}
    first, second = (folder(charted, degradation=noise)[0]["lq"] for _ in range(2))
    assert torch.equal(first, second)
    assert float((first - folder(charted)[0]["gt"]).std()) * 255 == pytest.approx(20, rel=0.05)


@pytest.fixture
def paired(album: Path, tmp_path: Path) -> Callable[[int], Path]:
    def make(scale: int) -> Path:
        for path in album.glob("*.png"):
            height, width = 40 // scale * scale, 48 // scale * scale
            low = imresize(photos.load(path)[:height, :width], 1 / scale)
            write(tmp_path / "low" / f"{path.stem}x{scale}.png", low)
        return tmp_path / "low"

    return make


def test_validation_pairs_come_from_files(album: Path, paired: Callable[[int], Path]) -> None:
    low = paired(3)
    data = folder(album, dataroot_lq=str(low), filename_tmpl="{}x3", scale=3)
    assert len(data) == 5
    item = data[2]
    assert item["lq_path"] == str(low / "2x3.png")
    assert (item["lq"].shape, item["gt"].shape) == ((3, 13, 16), (3, 39, 48))


def test_wrong_partners_are_all_named(album: Path, paired: Callable[[int], Path]) -> None:
    low = paired(2)
    (low / "1x2.png").unlink()
    (low / "3x2.png").unlink()
    with pytest.raises(InputError, match=r"2 of 5 images have no partner in .*: 1x2, 3x2"):
        folder(album, dataroot_lq=str(low), filename_tmpl="{}x2", scale=2)
    low = paired(2)
    with pytest.raises(InputError, match=r"5 of 5 .* not 4 times smaller"):
        folder(album, dataroot_lq=str(low), filename_tmpl="{}x2", scale=4)
    with pytest.raises(InputError, match="does not exist"):
        folder(album, dataroot_lq=str(low / "no"), scale=2)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_photos_of_any_depth_are_taken_in_8_bits(dtype: type[np.generic], white: int, tmp_path: Path) -> None:
    values = np.linspace(0, white, 256).reshape(16, 16, 1).repeat(3, axis=2)
    values = np.rint(values) if white > 1 else values
    cv2.imwrite(str(tmp_path / "a.tif"), values.astype(dtype))
    assert np.array_equal(photos.load(tmp_path / "a.tif")[:, :, 0], np.arange(256).reshape(16, 16))


def test_shrunk_patches_are_averages_of_larger_ones(charted: Path) -> None:
    data = patches(charted, shrink=[1, 4], use_hflip=False, use_rot=False)
    sizes = []
    for index in range(80):
        high = pixels(data[index]["gt"]).astype(float)
        assert high.shape == (EDGE, EDGE, 3)
        step = np.diff(high[:, 0, 0])
        factor = step.mean()  # rows of the photo for one of the patch
        sizes.append(factor * EDGE)
        assert np.abs(step - factor).max() <= 1
        assert high[:, :, 0].max() < HEIGHT
    assert min(sizes) < EDGE * 1.3
    assert max(sizes) == pytest.approx(HEIGHT, abs=2)  # the photo is no larger
    assert len(set(np.round(sizes, 1))) > 20


def test_without_shrinking_patches_are_what_they_were(charted: Path) -> None:
    for index in range(5):
        assert torch.equal(patches(charted)[index]["lq"], patches(charted, shrink=1)[index]["lq"])


def test_patches_are_darkened_or_lit_by_an_exponent(charted: Path) -> None:
    curve = np.rint(255 * (np.arange(HEIGHT) / 255) ** 0.5).astype(np.uint8)
    windows = {curve[top : top + EDGE].tobytes() for top in range(HEIGHT - EDGE + 1)}
    data = patches(charted, use_hflip=False, use_rot=False, gamma=0.5)
    for index in range(20):
        assert pixels(data[index]["gt"])[:, 0, 0].tobytes() in windows
    light = [patches(charted, gamma=[0.5, 2])[index]["gt"][2].mean() for index in range(60)]
    assert min(light) < 0.4
    assert max(light) > 0.6


@pytest.mark.parametrize("shrink", [0.5, [2, 1], [0, 2]])
def test_patches_are_never_enlarged(charted: Path, shrink: Any) -> None:
    with pytest.raises(UsageError, match="shrink"):
        patches(charted, shrink=shrink)
