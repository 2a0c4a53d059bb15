from collections.abc import Sequence
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image

from mambair_cli.data import degrade, lmdb_store, photos, prepare
from mambair_cli.data.check import check
from mambair_cli.data.degradations import Haze
from mambair_cli.data.resize import imresize
from mambair_cli.errors import InputError, OutputError
from tests.data.pictures import natural, write


@pytest.fixture
def album(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / "album" / f"im{number}.png", natural(number, 50, 70 + number)) for number in range(3)]


def run(jobs: Sequence[prepare.Derivation], overwrite: bool = False) -> prepare.Summary:
    return prepare.run(jobs, lambda done, total: None, overwrite)


def test_pairs_are_cut_so_that_every_scale_divides_them(album: list[Path], tmp_path: Path) -> None:
    assert run(prepare.sr(album, tmp_path / "out", [2, 3, 4], with_good=True)).made == 12
    for number, path in enumerate(album):
        good = photos.load(tmp_path / "out" / "HR" / f"im{number}.png")
        np.testing.assert_array_equal(good, photos.load(path)[:48, : (70 + number) // 12 * 12])
        for scale in (2, 3, 4):
            low = photos.load(tmp_path / "out" / "LR_bicubic" / f"X{scale}" / f"im{number}x{scale}.png")
            np.testing.assert_array_equal(low, imresize(good, 1 / scale))


def test_reduced_images_beside_good_ones_are_cut_for_their_own_scale(album: list[Path], tmp_path: Path) -> None:
    run(prepare.sr(album, tmp_path / "out", [3], with_good=False))
    low = photos.load(tmp_path / "out" / "LR_bicubic" / "X3" / "im1x3.png")
    np.testing.assert_array_equal(low, imresize(photos.load(album[1])[:48, :69], 1 / 3))
    assert not (tmp_path / "out" / "HR").exists()


def test_jpeg_files_are_compressed_once(album: list[Path], tmp_path: Path) -> None:
    run(prepare.jpeg(album, tmp_path / "LQ", [10, 40], gray=True))
    stored = tmp_path / "LQ" / "10" / "im0.jpg"
    np.testing.assert_array_equal(photos.load(stored, gray=True), degrade.jpeg(photos.load(album[0], gray=True), 10))
    with Image.open(stored) as image:
        assert image.mode == "L"
        # ITU-T T.81, table K.1, times 5 (quality 10 of libjpeg): the first step is 16 * 5.
        assert image.quantization[0][0] == 80  # type: ignore[attr-defined]


def test_noise_and_haze_depend_on_the_name_alone(album: list[Path], tmp_path: Path) -> None:
    for place in ("a", "b"):
        run(prepare.noise(album, tmp_path / place, [25]))
        run(prepare.haze(album, tmp_path / place / "hazy", Haze()))
    for name in ("25/im0.png", "hazy/im2.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    noise = photos.load(tmp_path / "a" / "25" / "im0.png") - photos.load(album[0]).astype(float)
    assert noise.std() == pytest.approx(25, rel=0.2)  # clipped
    other = photos.load(tmp_path / "a" / "25" / "im1.png")[:, :70] - photos.load(album[1])[:, :70].astype(float)
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.1
    assert photos.load(tmp_path / "a" / "hazy" / "im0.png").std() < photos.load(album[0]).std()


def test_parts_cover_the_image_to_its_borders(album: list[Path], tmp_path: Path) -> None:
    run(prepare.crops(album[:1], tmp_path / "parts", 32, 16))
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    # Rows start at 0, 16 and 18 = 50 - 32, columns at 0, 16, 32 and 38 = 70 - 32.
    assert names == [f"im0_s{number:03}.png" for number in range(1, 13)]
    photo = photos.load(album[0])
    for number, (top, left) in enumerate([(t, c) for t in (0, 16, 18) for c in (0, 16, 32, 38)], start=1):
        part = photos.load(tmp_path / "parts" / f"im0_s{number:03}.png")
        np.testing.assert_array_equal(part, photo[top : top + 32, left : left + 32])


def test_turned_photos_are_cut_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF 2.32: to be turned by a quarter
    with Image.fromarray(natural(0, 40, 72)) as image:
        image.save(tmp_path / "turned.png", exif=exif)
    run(prepare.crops([tmp_path / "turned.png"], tmp_path / "parts", 40, 32))
    parts = sorted((tmp_path / "parts").iterdir())
    assert [photos.load(part).shape for part in parts] == [(40, 40, 3)] * 2


def test_a_run_is_taken_up_where_it_ended(album: list[Path], tmp_path: Path) -> None:
    jobs = prepare.sr(album, tmp_path / "out", [2], with_good=True)
    run(jobs)
    kept, lost = tmp_path / "out" / "HR" / "im0.png", tmp_path / "out" / "LR_bicubic" / "X2" / "im1x2.png"
    stamp, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    report = run(jobs)
    assert (report.made, report.kept) == (1, 5)
    assert (kept.stat().st_mtime_ns, lost.read_bytes()) == (stamp, content)
    assert run(jobs, overwrite=True).made == 6


def test_a_bad_photo_does_not_stop_the_others(album: list[Path], tmp_path: Path) -> None:
    album[1].write_bytes(album[1].read_bytes()[:300])
    report = run(prepare.sr(album, tmp_path / "out", [2], with_good=True))
    assert (report.made, list(report.failed)) == (4, [str(album[1])])
    assert "damaged" in report.failed[str(album[1])]
    assert not list((tmp_path / "out").rglob(".mambair*"))


def test_photos_are_neither_mixed_up_nor_replaced(album: list[Path], tmp_path: Path) -> None:
    twin = write(tmp_path / "album" / "more" / "im0.png", natural(9, 50, 50))
    with pytest.raises(InputError, match=r"would all become im0x2.png"):
        run(prepare.sr([*album, twin], tmp_path / "out", [2], with_good=False))
    with pytest.raises(InputError, match="would be replaced"):
        run(prepare.haze(album, album[0].parent, Haze()), overwrite=True)
    assert not (tmp_path / "out").exists()


def test_a_database_holds_what_basicsr_looks_for(album: list[Path], tmp_path: Path) -> None:
    jobs = prepare.sr(album, tmp_path / "out", [2], with_good=True)
    run(jobs)
    low = photos.find(tmp_path / "out" / "LR_bicubic" / "X2")
    told: list[tuple[int, int]] = []
    lmdb_store.write(low, tmp_path / "X2.lmdb", "x2", lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)
    lines = (tmp_path / "X2.lmdb" / "meta_info.txt").read_text().splitlines()
    assert lines == ["im0.png (25,35,3) 1", "im1.png (25,35,3) 1", "im2.png (25,36,3) 1"]
    with lmdb.open(str(tmp_path / "X2.lmdb"), readonly=True, lock=False) as store, store.begin() as transaction:
        content = transaction.get(b"im1") or b""
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    np.testing.assert_array_equal(bgr[:, :, ::-1], photos.load(low[1]))


def test_a_database_is_there_in_full_or_not_at_all(album: list[Path], tmp_path: Path) -> None:
    def write_to(name: str, paths: Sequence[Path] = album) -> None:
        lmdb_store.write(paths, tmp_path / name, "", lambda done, total: None)

    with pytest.raises(OutputError, match=r"does not end in .lmdb"):
        write_to("database")
    with pytest.raises(InputError, match="Several images"):
        write_to("a.lmdb", [*album, album[0]])
    with pytest.raises(InputError, match="holds a dot"):
        write_to("a.lmdb", [write(tmp_path / "a.b.png", natural(0, 8, 8))])
    album[2].write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"im2.png"):
        write_to("a.lmdb")
    assert not list(tmp_path.glob("*.lmdb*")) + list(tmp_path.glob(".*.part"))
    write_to("a.lmdb", album[:2])
    with pytest.raises(OutputError, match="exists already"):
        write_to("a.lmdb", album[:2])


@pytest.fixture
def pairs(album: list[Path], tmp_path: Path) -> Path:
    run(prepare.sr(album, tmp_path / "set", [2, 4], with_good=True))
    return tmp_path / "set"


def found(folder: Path, *layout: str) -> list[tuple[str, str]]:
    return [(problem.kind, problem.path.name) for problem in check(folder, layout, lambda done, total: None)[2]]


def test_a_good_set_has_no_problems(pairs: Path) -> None:
    count, compared, problems = check(pairs, ["HR", "LR_bicubic/X2"], lambda done, total: None)
    assert (count, len(compared), problems) == (9, 2, [])


def test_every_problem_is_found_at_once(pairs: Path, tmp_path: Path) -> None:
    (pairs / "LR_bicubic" / "X2" / "im0x2.png").unlink()
    write(pairs / "LR_bicubic" / "X2" / "strangerx2.png", natural(0, 24, 24))
    write(pairs / "LR_bicubic" / "X4" / "im1x4.png", natural(0, 13, 17))
    (pairs / "LR_bicubic" / "X4" / "im2x4.png").write_bytes(b"<html>")
    (pairs / "LR_bicubic" / "X8").mkdir()
    assert sorted(found(pairs, "HR", "LR_bicubic/X3", "LR_bicubic/X8")) == [
        ("empty", "X8"),
        ("extra", "strangerx2.png"),
        ("missing", "X3"),
        ("size", "im1x4.png"),
        ("unpaired", "im0.png"),
        ("unpaired", "im0.png"),
        ("unpaired", "im1.png"),
        ("unpaired", "im2.png"),
        ("unreadable", "im2x4.png"),
    ]


@pytest.mark.parametrize(
    ("good", "low"),
    [("clear", "hazy"), ("HQ", "LQ/10"), ("Classic5_HQ", "Classic5_LQ/40"), ("target_crops", "input_crops")],
)
def test_all_published_layouts_are_compared(tmp_path: Path, good: str, low: str) -> None:
    for folder, edge in ((good, 24), (low, 20)):
        write(tmp_path / "set" / "inner" / folder / "a.png", natural(0, edge, 24))
    assert found(tmp_path / "set") == [("size", "a.png")]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    for folder, words in ((tmp_path, "no image"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(InputError, match=words):
            check(folder, [], lambda done, total: None)
