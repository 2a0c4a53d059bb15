"""``mambair data`` from the outside."""

import json
from pathlib import Path

import pytest

from tests.cli.run import run
from tests.data.pictures import natural, write


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for number in range(2):
        write(tmp_path / "album" / f"im{number}.png", natural(number, 50, 70))
    return tmp_path / "album"


def test_a_prepared_set_is_in_order(album: Path, tmp_path: Path) -> None:
    made = run("data", "prepare", "sr", str(album), "-o", str(tmp_path / "DF2K"), "--json")
    assert made.code == 0, made.err
    assert json.loads(made.out) == {"output": str(tmp_path / "DF2K"), "made": 8, "kept": 0, "failed": {}}
    checked = run("data", "check", str(tmp_path / "DF2K"), "--layout", "df2k", "--json")
    assert (checked.code, json.loads(checked.out)) == (0, {"images": 8, "compared": 3, "problems": 0})
    (tmp_path / "DF2K" / "LR_bicubic" / "X3" / "im1x3.png").unlink()
    checked = run("data", "check", str(tmp_path / "DF2K"))
    assert checked.code == 1
    place = tmp_path / "DF2K" / "LR_bicubic" / "X3"
    assert checked.out == f"unpaired: {tmp_path / 'DF2K' / 'HR' / 'im1.png'} (no im1x3 in {place})\n"
    assert "7 images, 3 pairs of folders, 1 problems" in checked.err


def test_pairs_go_beside_a_folder_called_hr(album: Path) -> None:
    album.rename(album.parent / "HR")
    outcome = run("data", "prepare", "sr", str(album.parent / "HR"), "--scale", "2")
    assert outcome.code == 0, outcome.err
    assert (album.parent / "LR_bicubic" / "X2" / "im0x2.png").is_file()
    assert not (album.parent / "LR_bicubic" / "X3").exists()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["jpeg", "--quality", "20"], {"LQ/20/im0.jpg", "LQ/20/im1.jpg"}),
        (["noise", "--sigma", "15"], {"LQ/15/im0.png", "LQ/15/im1.png"}),
        (["haze", "--beta", "1", "2"], {"hazy/im0.png", "hazy/im1.png"}),
    ],
)
def test_spoilt_images_go_beside_the_good_ones(album: Path, options: list[str], names: set[str]) -> None:
    outcome = run("data", "prepare", options[0], str(album), *options[1:])
    assert outcome.code == 0, outcome.err
    made = {path.relative_to(album.parent).as_posix() for path in album.parent.rglob("*.*")}
    assert made - {"album/im0.png", "album/im1.png"} == names


def test_parts_and_databases_are_made(album: Path, tmp_path: Path) -> None:
    outcome = run("data", "prepare", "crops", str(album), "-o", str(tmp_path / "parts"), "--size", "50", "--step", "20")
    assert outcome.code == 0, outcome.err
    assert len(list((tmp_path / "parts").iterdir())) == 4
    outcome = run("data", "prepare", "lmdb", str(tmp_path / "parts"))
    assert (outcome.code, outcome.out) == (0, f"{tmp_path / 'parts.lmdb'}\n")
    assert len((tmp_path / "parts.lmdb" / "meta_info.txt").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["prepare", "sr", "ALBUM"], 2, "no folder called HR"),
        (["prepare", "sr", "nowhere", "-o", "out"], 1, "nowhere does not exist"),
        (["prepare", "crops", "ALBUM", "-o", "out", "--size", "60"], 1, "less than 60"),
        (["prepare", "haze", "ALBUM", "--beta", "3", "1"], 2, "A range is [low, high], write [1, 3]."),
        (["check", "ALBUM", "--layout", "nothing"], 2, "no data set nothing"),
        (["check", "ALBUM", "--layout", "DF2K"], 1, "is not in order"),
    ],
)
def test_mistakes_are_said(album: Path, arguments: list[str], code: int, words: str) -> None:
    outcome = run("data", *(str(album) if argument == "ALBUM" else argument for argument in arguments))
    assert outcome.code == code
    assert words in outcome.err


def test_a_broken_photo_is_named_at_the_end(album: Path, tmp_path: Path) -> None:
    (album / "bad.jpg").write_bytes(b"<html>")
    outcome = run("data", "prepare", "jpeg", str(album), "-o", str(tmp_path / "LQ"))
    assert outcome.code == 1
    assert "1 of 3 images failed" in outcome.err
    assert "bad.jpg" in outcome.err
    assert len(list((tmp_path / "LQ").rglob("*.jpg"))) == 6
