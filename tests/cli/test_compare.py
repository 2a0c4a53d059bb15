"""``--compare`` writes a second file beside each result, which is kept track of like the result itself."""

import json
from pathlib import Path

import pytest

from mambair_cli.images.decode import decode
from tests.cli.run import run
from tests.data.pictures import natural, write


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        write(Path("in") / f"{number}.png", natural(number, 24, 32))


def compared(model: Path, *options: str) -> list[str]:
    outcome = run("upscale", "in", "--model", str(model), "--json", *options)
    records = [json.loads(line) for line in outcome.out.splitlines()]
    assert all(Path(record["compare"]).is_file() for record in records)
    return ["failed" if record["error"] else "skipped" if record["skipped"] else "done" for record in records]


def test_a_comparison_is_a_picture_and_no_input(x2: Path) -> None:
    assert compared(x2, "--compare") == ["done", "done"]
    assert decode(Path("in/0_x2_compare.png")).pixels.ndim == 3
    assert {path.name for path in Path("in").iterdir()} == {
        f"{n}{e}.png" for n in "01" for e in ("", "_x2", "_x2_compare")
    }
    assert compared(x2, "--compare", "--overwrite") == ["done", "done"]
    outcome = run("upscale", "in", "--model", str(x2), "--overwrite")
    assert len(outcome.out.split()) == 2, "comparisons of an earlier run are no inputs"


def test_comparisons_are_resumed_and_never_lost(x2: Path) -> None:
    assert compared(x2, "--compare", "--resume") == ["done", "done"]
    assert compared(x2, "--compare", "--resume") == ["skipped", "skipped"]
    Path("in/0_x2_compare.png").unlink()
    assert compared(x2, "--compare", "--resume") == ["done", "skipped"]
    Path("in/1_x2_compare.png").write_bytes(b"mine")
    assert compared(x2, "--compare", "--resume") == ["skipped", "failed"]
    assert Path("in/1_x2_compare.png").read_bytes() == b"mine"


def test_not_where_only_one_picture_fits(x2: Path) -> None:
    outcome = run("upscale", "in/0.png", "-o", "-", "--compare", "--model", str(x2))
    assert outcome.code == 2
    assert "A comparison cannot go to standard output." in outcome.err
