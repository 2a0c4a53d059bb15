"""What the options say reaches the functions that do it."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mambair_cli.commands.defaults import chosen_model
from mambair_cli.console import Console
from mambair_cli.images.decode import decode
from mambair_cli.images.encode import encode
from mambair_cli.restoration import picture as stages
from mambair_cli.restoration.choices import Choices
from mambair_cli.weights import catalog
from tests.cli.run import run
from tests.data.pictures import natural, write
from tests.restoration.grain import demosaiced

SEEN: dict[str, dict[str, Any]] = {}


@pytest.fixture(autouse=True)
def _watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    SEEN.clear()

    def reading(path: Path, **options: Any) -> Any:
        SEEN["decode"] = options
        return decode(path)

    def network(pixels: Any, model: Any, choices: Choices, **others: Any) -> Any:
        SEEN["restore"] = {name: getattr(choices, name) for name in DEFAULTS | SIZES}
        return pixels

    def writing(picture: Any, suffix: str, **options: Any) -> bytes:
        SEEN["encode"] = options
        return encode(picture, suffix)

    for name, function in (("decode", reading), ("restore", network), ("encode", writing)):
        monkeypatch.setattr(stages, name, function)
    write(Path("a.png"), natural(0, 8, 10))


def seen(task: str, model: Path, *options: str) -> dict[str, dict[str, Any]]:
    outcome = run(task, "a.png", "--model", str(model), *options)
    assert outcome.code == 0, outcome.err
    return SEEN


DEFAULTS = {
    "tile": None,
    "overlap": None,
    "ensemble": False,
    "precision": "fp32",
    "strength": 1.0,
    "wrap": "none",
    "sigma": None,
}
SIZES = {"scale": None, "width": None, "height": None}


def test_defaults(x2: Path) -> None:
    found = seen("upscale", x2, "--scale", "2")
    assert found == {
        "decode": {"max_pixels": 500_000_000, "strip": False, "strict": False},
        "restore": DEFAULTS | SIZES,
        "encode": {"quality": None},
    }


def test_everything_else(x2: Path) -> None:
    options = "--whole --overlap 8 --ensemble --precision bf16 --scale 1.5"
    files = "--strip --strict --max-pixels 99 --quality 7 --format jpg"
    found = seen("upscale", x2, *options.split(), *files.split())
    chosen = {"tile": 0, "overlap": 8, "ensemble": True, "precision": "bf16", "scale": 1.5}
    assert found == {
        "decode": {"max_pixels": 99, "strip": True, "strict": True},
        "restore": DEFAULTS | SIZES | chosen,
        "encode": {"quality": 7},
    }
    assert Path("a_x1.5.jpg").exists()


@pytest.mark.parametrize(
    ("options", "size", "name"),
    [
        (["--width", "15"], {"width": 15}, "a_w15.png"),
        (["--height", "12"], {"height": 12}, "a_h12.png"),
        (["--width", "15", "--height", "12"], {"width": 15, "height": 12}, "a_15x12.png"),
    ],
)
def test_sizes(options: list[str], size: dict[str, int], name: str, x2: Path) -> None:
    assert seen("upscale", x2, *options)["restore"] == DEFAULTS | SIZES | size
    assert Path(name).exists()


def test_strength_and_wrapping(x1: Path, x2: Path) -> None:
    for task, model in (("denoise", x1), ("upscale", x2)):
        assert seen(task, model, "--strength", "0.3")["restore"]["strength"] == 0.3
        for flag, axes in (("--wrap", "xy"), ("--wrap-x", "x")):
            assert seen(task, model, flag, "--overwrite")["restore"]["wrap"] == axes
    assert seen("denoise", x1, "--sigma", "10", "--overwrite")["restore"]["sigma"] == 10
    assert run("upscale", "a.png", "--sigma", "10").code == 2
    assert run("denoise", "a.png", "--sigma", "0").code == 2
    assert run("denoise", "a.png", "--scale", "2").code == 2
    assert run("denoise", "a.png", "--strength", "1.3").code == 2


@pytest.mark.parametrize(
    ("scale", "model"),
    [("1.5", "mambair-nano-x2"), ("2", "mambair-nano-x2"), ("2.5", "mambair-nano-x3"), ("3.5", "mambair-nano-x4")],
)
def test_the_default_model_enlarges_enough(scale: str, model: str) -> None:
    cv2.imwrite("smooth.png", np.full((20, 24, 3), 90, np.uint8))
    outcome = run("upscale", "smooth.png", "--scale", scale)
    assert outcome.code == 0, outcome.err
    assert f"with {model}" in outcome.err


def test_poor_pictures_get_the_model_for_them(rng: np.random.Generator) -> None:
    gray = np.full((48, 64, 3), 90.0)
    cv2.imwrite("noisy.png", gray + rng.normal(0, 25, gray.shape))
    cv2.imwrite("grainy.png", demosaiced(gray, 12, rng))
    cv2.imwrite("blocks.jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, 30])
    cv2.imwrite("fine.png", gray + rng.normal(0, 12, gray.shape))  # which the other model takes away as well
    cv2.imwrite("clean.png", gray)
    names = ["noisy.png", "grainy.png", "blocks.jpg", "fine.png", "clean.png"]
    outcome = run("upscale", *names, "-o", "out", "--json")
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    plain = "mambair-nano-x4"
    assert [line["model"] for line in lines] == ["mambair-nano-photo-x4"] * 3 + [plain] * 2
    assert "noise of about sigma 2" in lines[0]["notes"][0]
    assert "grain of a camera of about sigma" in lines[1]["notes"][0]
    assert "JPEG quality of about 30" in lines[2]["notes"][0]
    assert lines[3]["notes"] == lines[4]["notes"] == []
    again = run("upscale", "noisy.png", "--model", plain, "-o", "plain.png")
    assert f"with {plain}" in again.err


def entry(name: str, scale: int, psnr: float, seconds: float, **others: Any) -> catalog.CatalogEntry:
    facts: dict[str, Any] = {
        "task": "upscale",
        "arch": "MambaIRNano",
        "file": name,
        "licence": "",
        "bundled": True,
    } | others
    return catalog.CatalogEntry(name=name, scale=scale, psnr={"Set5": psnr}, seconds=seconds, **facts)


def test_words_stand_for_models_that_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = (
        entry("middle", 4, 31.7, 2.0),
        entry("quick", 4, 31.0, 0.9),
        entry("good", 4, 32.0, 6.0),
        entry("photo", 4, 33.0, 0.1, instead_of=("middle",)),
        entry("x2", 2, 37.0, 0.2),
        entry("elsewhere", 4, 32.5, 0.1, bundled=False, url="https://example.org/elsewhere"),
    )
    monkeypatch.setattr(catalog, "entries", lambda: known)
    monkeypatch.setattr(catalog.CatalogEntry, "installed", property(lambda each: each.bundled))
    console = Console(quiet=False)
    notes: list[str] = []
    monkeypatch.setattr(console, "note", notes.append)

    def chosen(given: str | None, scale: float | None = None) -> str:
        return chosen_model(console, "upscale", scale, False, given)

    assert [chosen(word) for word in (None, "fast", "best")] == ["middle", "quick", "good"]
    assert [chosen(word, 2) for word in (None, "fast", "best")] == ["x2"] * 3
    assert notes == [
        "good is the best model that is installed. "
        "elsewhere has 32.50 dB on Set5 against 32.00: mambair fetch elsewhere"
    ]


@pytest.mark.parametrize("word", ["fast", "best"])
@pytest.mark.parametrize("task", ["upscale", "denoise", "dejpeg", "dehaze"])
def test_every_task_knows_the_words(task: str, word: str) -> None:
    cv2.imwrite("smooth.png", np.full((20, 24, 3), 90, np.uint8))
    outcome = run(task, "smooth.png", "--model", word)
    assert outcome.code == 0, outcome.err


def test_quality_is_for_every_suffix_of_a_format(x2: Path) -> None:
    assert seen("upscale", x2, "-o", "b.jpeg", "--quality", "80")["encode"] == {"quality": 80}


def test_letters_of_formats_may_be_capital(x2: Path) -> None:
    assert run("upscale", "a.png", "--model", str(x2), "--format", "JPG").out == "a_x2.jpg\n"
