"""What another worker makes of a picture from its file are the rows that the one with the picture would make."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mambair_cli.cluster.helping import Helper
from mambair_cli.cluster.sheet import Sheet
from mambair_cli.errors import MambairError
from mambair_cli.locations import either
from mambair_cli.locations.url import Location, Url
from mambair_cli.restoration.choices import Choices
from mambair_cli.restoration.picture import Run
from mambair_cli.restoration.result import Job, Result
from mambair_cli.restoration.tiles import Floats, Make, Sharing, Span, TileRow
from mambair_cli.weights.loader import load
from tests.images.test_bands import waves
from tests.restoration.test_routes import PICTURES


class Elsewhere:
    """Asks a helper for all rows, the last ones first, and fetches them in pieces."""

    def __init__(self, run: Run) -> None:
        self.helper = Helper(run, lambda: None)
        self.asked = 0

    def of(self, job: Job, result: Result, poor: bool) -> Sharing:
        sheet = Sheet(job, either.state(job.source), poor)

        def strips(rows: Sequence[TileRow], make: Make) -> Iterator[Floats]:
            replies = {n: self.helper.make(("leader", n), sheet, rows[n]) for n in reversed(range(len(rows)))}
            self.asked += len(rows)
            for number in range(len(rows)):
                shape = replies[number]
                assert isinstance(shape, tuple), shape
                starts = range(0, shape[0], 7)
                yield np.concatenate([self.helper.piece(("leader", number), row, row + 7) for row in starts])

        return strips


def restored(run: Run, source: Location, target: Path) -> Result:
    work = run.new(Job(source, target))
    work.begin()
    work.restore(lambda done, total: None)
    work.finish()
    assert work.result.error is None, work.result.trace
    return work.result


def same(source: Location, model: str | Path, choices: Choices, folder: Path | None = None) -> Result:
    """Compare the results of a run alone with those of one to which another makes all strips."""
    run = Run(load(model, "cpu"), choices)
    elsewhere = Elsewhere(run)
    home = folder or source.parent
    assert isinstance(home, Path)
    alone, divided = home / "alone.png", home / "divided.png"
    one = restored(run, source, alone)
    with elsewhere.helper:
        other = restored(replace(run, sharing=elsewhere.of), source, divided)
    assert elsewhere.asked > 1
    assert not elsewhere.helper.kept
    assert divided.read_bytes() == alone.read_bytes()
    assert one.tiles == other.tiles
    return other


@pytest.mark.parametrize("name", [name for name in PICTURES if name != "wide.png"])
def test_kinds_of_pictures(name: str, x2: Path, tmp_path: Path) -> None:
    PICTURES[name](tmp_path / name)
    same(tmp_path / name, x2, Choices(tile=40))


@pytest.mark.parametrize("options", [{"wrap": "x"}, {"wrap": "y"}, {"ensemble": True}, {"scale": 1.5}])
def test_choices(options: dict[str, object], x2: Path, tmp_path: Path) -> None:
    PICTURES["hidden.png"](tmp_path / "a.png")
    same(tmp_path / "a.png", x2, Choices(tile=40, **options))  # type: ignore[arg-type]


def test_a_network_that_sees_the_whole_picture(tmp_path: Path) -> None:
    Image.fromarray(waves(3, np.uint8, 300, 90)).save(tmp_path / "a.png")
    same(tmp_path / "a.png", "mambair-nano-dehaze", Choices(tile=64))


def test_a_file_that_is_only_read_as_a_whole(x2: Path, tmp_path: Path) -> None:
    Image.fromarray(waves(3, np.uint8, 90, 50)).save(tmp_path / "a.bmp")
    same(tmp_path / "a.bmp", x2, Choices(tile=40))


def test_a_picture_behind_a_url(x2: Path, tmp_path: Path) -> None:
    store = pytest.importorskip("fsspec", reason="fsspec is not installed").filesystem("memory")
    PICTURES["deep.png"](tmp_path / "a.png")
    store.pipe_file("/divided/a.png", (tmp_path / "a.png").read_bytes())
    same(Url("memory", "divided/a.png"), x2, Choices(tile=40), tmp_path)
    store.rm("/divided", recursive=True)


def test_a_picture_that_was_changed_meanwhile(x2: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    PICTURES["gray.png"](source)
    helper = Helper(Run(load(x2, "cpu"), Choices(tile=40)), lambda: None)
    size, changed = either.state(source)
    job = Job(source, tmp_path / "b.png")
    reply = helper.make(("leader", 0), Sheet(job, (size, changed - 1), poor=False), TileRow(Span(0, 40, 0, 38), (), 0))
    assert isinstance(reply, MambairError)
    assert reply.message == f"{source} was changed."
