"""``mambair models erf``: figures, drawing, and what it refuses."""

import json
from pathlib import Path

import pytest

from mambair_cli.images.decode import decode
from tests.cli.run import run
from tests.data.pictures import natural, write


def test_figures_and_a_drawing(x2: Path, tmp_path: Path) -> None:
    out = tmp_path / "erf.png"
    done = run("models", "erf", str(x2), "--size", "12", "--count", "2", "-o", str(out), "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [row["share"] for row in found["squares"]] == [0.2, 0.3, 0.5, 0.99]
    sides = [row["side"] for row in found["squares"]]
    assert sides == sorted(sides)
    assert max(sides) <= 12
    assert (found["noises"], found["output"]) == (2, str(out))
    pixels = decode(out).pixels
    assert pixels.shape == (516, 516, 3)
    assert (pixels == (253, 231, 37)).all(-1).any(), "the largest contribution has the last colour of viridis"
    assert run("models", "erf", str(x2), "--size", "12", "-o", str(out)).code == 1
    assert "exists" in run("models", "erf", str(x2), "--size", "12", "-o", str(out)).err


def test_pictures_of_the_user(x1: Path, tmp_path: Path) -> None:
    picture = write(tmp_path / "a.png", natural(0, 20, 30))
    done = run("models", "erf", str(x1), str(picture), "--size", "16")
    assert done.code == 0, done.err
    assert "99%" in done.out
    assert "Mean over 1 picture of 16 x 16" in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a.png", "--size", "64"], "has 20 x 30 pixels, fewer than 64. Hint: Give a larger picture, or --size 20."),
        (["-o", "erf.jpg"], "erf.jpg does not end in .png"),
        (["missing.png"], "missing.png"),
    ],
)
def test_refusals(arguments: list[str], told: str, x1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("a.png"), natural(0, 20, 30))
    done = run("models", "erf", str(x1), *arguments)
    assert done.code == 1
    assert told in " ".join(done.err.split())
