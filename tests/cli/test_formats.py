"""Formats: one declaration is enough for all commands, and the row decides what is said of them."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mambair_cli.images import formats
from mambair_cli.images.decode import decode
from tests.cli.run import run

TOY = Path(__file__).parents[1] / "images/toy_format.py"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a picture; what a plugin adds is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(formats, "FORMATS", list(formats.FORMATS))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("MAMBAIR_PLUGINS", "")
    monkeypatch.delitem(sys.modules, "toy_format", raising=False)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 4), np.uint8)).save("a.png")


def test_a_format_is_one_declaration(x1: Path) -> None:
    options = ("--model", str(x1), "--plugin", str(TOY))
    made = run("denoise", "a.png", "--format", "TOY", *options)
    assert made.code == 0, made.err
    assert ".toy holds no transparency" in made.err
    assert Path("a_denoised.toy").read_bytes()[:9] == b"TOY1\x1e\0\x14\0\3"
    Path("a.toy").write_bytes(Path("a_denoised.toy").read_bytes())
    Path("in").mkdir()
    Path("a_denoised.toy").rename("in/b.png")  # known by its content
    Path("a.toy").rename("in/c.toy")
    again = run("denoise", "in", "-o", "out/", *options)
    assert again.code == 0, again.err
    assert np.array_equal(decode(Path("out/b_denoised.png")).pixels, decode(Path("out/c_denoised.png")).pixels)
    assert (
        "--quality is for lossy formats, not for .toy" in run("denoise", "a.png", "-o", "b.toy", "--quality", "9").err
    )
    Image.new("RGB", (301, 2)).save("wide.png")
    assert "301 x 2 pixels are more than the 300 of .toy" in run("denoise", "wide.png", "-o", "b.toy", *options).err
    assert run("denoise", "in/c.toy", "-o", "d.png", "--max-pixels", "599", *options).code == 1


def test_a_format_that_is_not_known(x1: Path) -> None:
    outcome = run("denoise", "a.png", "--format", "toy", "--model", str(x1))
    assert outcome.code == 2
    assert "There is no format toy.\nHint: Use one of png, jpg, webp, tif, bmp, avif," in outcome.err


@pytest.mark.parametrize(("name", "suffix"), [("other", ".png"), ("png", ".other")])
def test_names_and_suffixes_are_given_once(name: str, suffix: str) -> None:
    with pytest.raises(ValueError, match="is taken by png"):
        formats.add(replace(formats.FORMATS[0], name=name, suffixes=(suffix,)))


def test_strict(x1: Path) -> None:
    Image.open("a.png").convert("RGB").save("a.jpg")
    whole = Path("a.jpg").read_bytes()
    Path("a.jpg").write_bytes(whole[:-2])
    said = run("denoise", "a.jpg", "--model", str(x1), "--json")
    assert said.code == 0
    assert "the end of the file is missing" in said.out
    refused = run("denoise", "a.jpg", "--model", str(x1), "--overwrite", "--strict")
    assert refused.code == 1
    assert "leave out --strict" in refused.err


def test_what_writes_a_format_may_be_missing(x1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats.Format, "installed", property(lambda row: row.module is None))
    outcome = run("denoise", "a.png", "--format", "heic", "--model", str(x1))
    assert outcome.code == 2
    assert outcome.err.endswith(
        "Error: What writes .heic files is not installed.\nHint: Install it with pip install 'mambair[formats]'.\n"
    )
