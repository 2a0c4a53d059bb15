"""Pairs of files as people have them: other suffixes, hidden files, turned or damaged pictures, gray ones."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mambair_cli.data import pairs
from mambair_cli.errors import InputError
from mambair_cli.training.basicsr import bridge

from .conftest import MAMBAIR, edsr, rows, train

TURNED = 6
LEVELS = (0, 60, 140, 255)


@pytest.fixture
def own(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four gray pairs of one level each, black and white among them."""
    monkeypatch.setenv("MAMBAIR_DATA", str(place))
    for name, edge in (("good", 32), ("poor", 16)):
        (place / name).mkdir()
        for number, level in enumerate(LEVELS):
            cv2.imwrite(str(place / name / f"{number}.png"), np.full((edge, edge), level, np.uint8))
    return place


def recipe(**changes: Any) -> dict[str, Any]:
    made = edsr(train__total_iter=2, val={}, logger__print_freq=1)
    del made["datasets"]["val"]
    made["datasets"]["train"] |= {"dataroot_gt": "good", "dataroot_lq": "poor"} | changes
    return made


def dataset(**changes: Any) -> Any:
    """The training data of a recipe, as BasicSR builds it."""
    options = recipe(**changes)["datasets"]["train"]
    return bridge.build_dataset(options | {"phase": "train", "scale": 2})


def test_partners_of_another_suffix_and_files_that_systems_leave(own: Path) -> None:
    for path in (own / "poor").glob("*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    for name in ("._0.png", ".DS_Store", "Thumbs.db", "list.txt"):
        (own / "good" / name).write_bytes(b"note")
    (own / "poor" / "._0.jpg").write_bytes(b"note")
    outcome = train(recipe())
    assert outcome.code == 0, outcome.err


def test_the_same_suffix_comes_first(tmp_path: Path) -> None:
    for name in ("good/1.png", "poor/1.jpg", "poor/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert pairs.in_folders(tmp_path / "good", tmp_path / "poor", "{}") == [
        (tmp_path / "good/1.png", tmp_path / "poor/1.png")
    ]
    (tmp_path / "poor" / "2.png").write_bytes(b"")
    (tmp_path / "good" / "3.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"3\.png has no partner 3, .*2\.png has no partner in"):
        pairs.in_folders(tmp_path / "good", tmp_path / "poor", "{}")


def test_the_order_is_that_of_names_whatever_the_file_system_says(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: sorted(listed(self), reverse=True))
    assert [Path(item["gt_path"]).stem for item in dataset().paths] == ["0", "1", "2", "3"]
    single = bridge.build_dataset(
        {"type": "SingleImageDataset", "name": "s", "dataroot_lq": "poor", "io_backend": {"type": "disk"}}
    )
    assert [Path(path).stem for path in single.paths] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_read_is_named(own: Path, workers: int) -> None:
    for name in ("good", "poor"):
        for path in (own / name).glob("*.png"):
            noise = np.random.default_rng(0).integers(0, 256, (32 if name == "good" else 16,) * 2, dtype=np.uint8)
            cv2.imwrite(str(path.with_suffix(".jpg")), noise)
            path.unlink()
    cut = own / "good" / "2.jpg"
    cut.write_bytes(cut.read_bytes()[:200])
    outcome = train(recipe())
    assert outcome.code == 1
    assert "The data cannot be used: pairs: " in outcome.err
    assert "good/2.jpg cannot be read" in outcome.err
    assert "Mend or remove these files" in outcome.err
    outcome = train(recipe(num_worker_per_gpu=workers, dataset_enlarge_ratio=2), "--no-data-check")
    assert outcome.code == 1
    assert "good/2.jpg cannot be read as an image" in outcome.err
    assert "InputError" not in outcome.err


def test_a_picture_that_only_exif_turns_is_named_before_the_start(own: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = TURNED
    Image.open(own / "good" / "1.png").save(own / "good" / "1.jpg", exif=exif)
    (own / "good" / "1.png").unlink()
    outcome = train(recipe())
    assert outcome.code == 1
    assert "good/1.jpg is turned by its EXIF orientation 6, and" in outcome.err
    assert not Path("experiments").exists()
    Image.open(own / "poor" / "1.png").save(own / "poor" / "1.jpg", exif=exif)
    (own / "poor" / "1.png").unlink()
    assert train(recipe()).code == 0


def test_networks_of_one_channel_see_black_and_white_in_full(own: Path) -> None:
    gray = recipe() | {"model_type": "MambaIRModel", "network_g": {**MAMBAIR, "in_chans": 1}}
    outcome = train(gray)
    assert outcome.code == 0, outcome.err
    assert rows("tiny")[-1]["iter"] == 2
    item = dataset(color="gray")
    values = [float(item[number][key].mean()) for number in range(4) for key in ("gt", "lq")]
    assert item[0]["gt"].shape == (1, 16, 16)
    np.testing.assert_allclose(values, np.repeat(LEVELS, 2) / 255, atol=1e-6)
