"""Which files are taken and left out, and what happens to names, outputs and limits at the edge."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from mambair_cli.errors import OutOfMemoryError
from mambair_cli.restoration import picture as stages
from tests.cli.run import run


@pytest.fixture(autouse=True)
def _stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder, and pixels repeated instead of a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages, "restore", lambda pixels, *_, **__: pixels.repeat(2, 0).repeat(2, 1))
    Path("h/deep").mkdir(parents=True)
    for name in ("a.png", "h/b.png", "h/deep/c.png"):
        picture(name)
    yield
    assert not list(Path().rglob("*.part"))


def picture(name: str, width: int = 6) -> None:
    Path(name).write_bytes(cv2.imencode(".png", np.zeros((5, width, 3), np.uint8))[1].tobytes())


def names(folder: str = ".") -> set[str]:
    return {str(path) for path in Path(folder).rglob("*") if path.is_file()}


def test_a_pattern_again(x2: Path) -> None:
    assert run("upscale", "*.png", "--model", str(x2)).out == "a_x2.png\n"
    outcome = run("upscale", "*.png", "--model", str(x2), "--overwrite")
    assert (outcome.code, outcome.out) == (0, "a_x2.png\n")
    assert "Left out, being results of earlier runs: a_x2.png." in outcome.err
    assert names() == {"a.png", "a_x2.png", "h/b.png", "h/deep/c.png"}


@pytest.mark.parametrize("pattern", ["h", "h/**/*.png"])
def test_an_output_folder_inside_the_input_again(pattern: str, x2: Path) -> None:
    first = run("upscale", pattern, "--model", str(x2), "-o", "h/out")
    Path("h/b.png").unlink()  # its result is one all the same
    again = run("upscale", pattern, "--model", str(x2), "-o", "h/out", "--overwrite")
    assert (first.code, again.code) == (0, 0)
    assert len(again.out.split()) == 1
    assert "h/out/b_x2.png" in again.err
    assert len(names("h/out")) == 2


def test_inputs_that_look_like_results_are_taken_when_results_go_elsewhere(x2: Path) -> None:
    picture("h/b_x2.png")
    outcome = run("upscale", "h", "--model", str(x2), "-o", "out")
    assert outcome.code == 0
    assert names("out") == {"out/b_x2.png", "out/b_x2_x2.png", "out/deep/c_x2.png"}
    assert "Left out" not in outcome.err


def test_results_in_the_output_folder_may_be_inputs_when_it_is_the_one_searched(x2: Path) -> None:
    outcome = run("upscale", "h", "--model", str(x2), "-o", "h")
    assert outcome.code == 0
    assert run("upscale", "h", "--model", str(x2), "-o", "h", "--overwrite").out == outcome.out


def test_nothing_but_results(x2: Path) -> None:
    Path("h/out").mkdir()
    picture("h/out/b_x2.png")
    Path("h/b.png").unlink()
    Path("h/deep/c.png").unlink()
    outcome = run("upscale", "h", "--model", str(x2), "-o", "h/out")
    assert outcome.code == 1
    assert "only results of earlier runs" in outcome.err


def test_a_single_match_may_not_be_its_own_output(x2: Path) -> None:
    outcome = run("upscale", "a*.png", "--model", str(x2), "-o", "a.png", "--overwrite")
    assert outcome.code == 2
    assert "also an input" in outcome.err


def test_names_at_the_limit(x2: Path) -> None:
    picture("n" * 251 + ".png")
    Path("loop.png").symlink_to("loop.png")
    picture("m" * 248 + ".png")
    wrong = ["n" * 251 + ".png", "loop.png", "l" * 300 + ".png", "no/../such.png"]
    outcome = run("--json", "upscale", *wrong, "m" * 248 + ".png", "--model", str(x2))
    errors = [json.loads(line)["error"] for line in outcome.out.splitlines()]
    assert outcome.code == 1
    assert [error is None for error in errors] == [False, False, False, False, True]
    assert "too long" in errors[0]
    assert "unexpected" not in outcome.err


@pytest.mark.parametrize("text", ["l" * 300, "*" + "l" * 300, "loop/x.png"])
def test_impossible_inputs(text: str, x2: Path) -> None:
    Path("loop").symlink_to("loop")
    outcome = run("upscale", text, "--model", str(x2))
    assert outcome.code == 1
    assert "unexpected" not in outcome.err


def test_limits_are_known_before_the_work(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "restore", lambda *_, **__: pytest.fail("the network ran"))
    picture("wide.png", 8192)
    outcome = run("upscale", "wide.png", "--model", str(x2), "-o", "new/wide.webp")
    assert outcome.code == 1
    assert "16384 x 10 pixels are more than the 16383 of .webp" in outcome.err
    assert not Path("new").exists()


def test_an_output_that_came_up_during_the_work_is_kept(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(pixels: Any, *_: Any, **__: Any) -> Any:
        Path("a_x2.png").write_bytes(b"theirs")
        return pixels

    monkeypatch.setattr(stages, "restore", slow)
    outcome = run("upscale", "a.png", "--model", str(x2))
    assert outcome.code == 1
    assert "a_x2.png exists already" in outcome.err
    assert Path("a_x2.png").read_bytes() == b"theirs"
    assert run("upscale", "a.png", "--model", str(x2), "--overwrite").code == 0


def test_smaller_tiles_and_losses_are_warnings_in_every_mode(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(pixels: Any, *_: Any, report: Any, **__: Any) -> Any:
        report.retries.append("memory ran out")
        return pixels

    monkeypatch.setattr(stages, "restore", short)
    image = Image.new("RGB", (4, 4))
    image.save("two.tif", save_all=True, append_images=[image])
    outcome = run("upscale", "two.tif", "--model", str(x2), "--json")
    assert outcome.err.splitlines() == [
        "Warning: two.tif: memory ran out",
        "Warning: two.tif: only the first of 2 pictures in the file is restored",
    ]
    record = json.loads(outcome.out)
    assert record["retries"] == ["memory ran out"]
    assert record["notes"] == ["only the first of 2 pictures in the file is restored"]


def test_an_expected_error_shows_its_traceback_on_request(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: Any, **__: Any) -> Any:
        raise OutOfMemoryError("Memory ran out.", "Buy some.")

    monkeypatch.setattr(stages, "restore", short)
    assert "Traceback" not in run("upscale", "a.png", "--model", str(x2)).err
    assert "Traceback" in run("upscale", "a.png", "--model", str(x2), "--verbose").err


def test_names_that_are_no_text_can_be_recovered(x2: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    picture(name)
    outcome = run("upscale", name, "--model", str(x2), "--json")
    assert outcome.out.isascii()
    assert json.loads(outcome.out)["output"] == os.fsdecode(b"caf\xe9_x2.png")
    assert "caf\\udce9_x2.png" in run("upscale", name, "--model", str(x2), "--overwrite").out


def test_two_pictures_with_one_stem_are_both_done_again_and_again(x2: Path) -> None:
    Image.new("RGB", (6, 5)).save("h/b.jpg")
    for _ in range(2):
        outcome = run("upscale", "h", "--model", str(x2), "--overwrite", "--compare")
        assert (outcome.code, outcome.out.split()) == (0, ["h/b_x2.png", "h/b.png_x2.png", "h/deep/c_x2.png"])
        assert "h/b.png becomes b.png_x2.png" in outcome.err
    assert "h/b.png_x2_compare.png" in names()


def test_any_number_of_pictures_with_one_name_come_into_one_folder(x2: Path) -> None:
    inputs = [f"h/{folder}/a.{kind}" for folder, kind in (("1", "png"), ("2", "png"), ("3", "png"), ("3", "png.bmp"))]
    for width, name in enumerate(inputs, start=3):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (width, 5)).save(name)
    outcome = run("upscale", *inputs, "--model", str(x2), "-o", "out")
    done = ["a_x2.png", "a.png_x2.png", "a.png_2_x2.png", "a.png.bmp_x2.png"]
    assert (outcome.code, outcome.out.split()) == (0, [f"out/{name}" for name in done])
    for width, name in zip((6, 8, 10, 12), done, strict=True):
        with Image.open(f"out/{name}") as result:
            assert result.size == (width, 10)
    assert "h/3/a.png becomes a.png_2_x2.png, since another picture's result has the shorter name." in outcome.err


def test_two_pictures_cannot_become_one_file(x2: Path) -> None:
    outcome = run("upscale", "a.png", "h/b.png", "--model", str(x2), "-o", "out.png")
    assert outcome.code == 2
    assert "2 pictures cannot all become out.png." in outcome.err
    assert "Name a folder: -o out.png/." in outcome.err


def test_kinds_that_are_not_read_are_counted_in_one_line(x2: Path) -> None:
    for name in ("h/x.gif", "h/deep/y.gif", "h/notes", "h/.DS_Store"):
        Path(name).touch()
    outcome = run("upscale", "h", "--model", str(x2))
    assert outcome.code == 0
    assert "Left out, being no pictures that are read: 2 .gif, 1 without a suffix.\n" in outcome.err
    assert "Left out" not in run("upscale", "h", "--model", str(x2), "--quiet", "--overwrite").err


def test_results_that_vanish_are_failures(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def move(pixels: Any, *arguments: Any, **options: Any) -> Any:
        if Path("out/b_x2.png").exists():
            shutil.rmtree("out")
        return pixels.repeat(2, 0).repeat(2, 1)

    monkeypatch.setattr(stages, "restore", move)
    for name in "de":
        picture(f"h/{name}.png")
    outcome = run("upscale", "h", "--no-recursive", "--model", str(x2), "-o", "out/")
    assert outcome.code == 1
    assert "out/b_x2.png was written, but is gone." in outcome.err
    assert "files failed: " in outcome.err
    assert "h/b.png" in outcome.err.split("files failed: ")[1]


def test_names_that_command_a_terminal_do_not(x2: Path) -> None:
    name = "a\x1b]0;x\x07\u202egnp.png"
    picture(name)
    outcome = run("upscale", name, "--model", str(x2))
    assert outcome.code == 0
    assert "a\\x1b]0;x\\x07\\u202egnp.png (6 x 5)" in outcome.err
    assert "\x1b" not in outcome.err
