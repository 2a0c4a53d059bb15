"""Files that are still being written are waited for; complete ones are given out once per state."""

import os
import time
from pathlib import Path

import pytest

from mambair_cli.restoration.arrivals import SETTLED, Arrivals
from mambair_cli.restoration.result import Job


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds since the start of the test, to be turned forward."""
    passed = [0.0]
    start = time.time()
    monkeypatch.setattr(time, "monotonic", lambda: passed[0])
    monkeypatch.setattr(time, "time", lambda: start + passed[0])
    return passed


def dated(path: Path, content: bytes, seconds: float) -> None:
    """A file that was last written ``seconds`` before now."""
    path.write_bytes(content)
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def test_what_was_there_is_given_at_once_and_once(tmp_path: Path, clock: list[float]) -> None:
    job = Job(tmp_path / "a.png", tmp_path / "out/a.png")
    dated(tmp_path / "a.png", b"1", 60)
    arriving = Arrivals()
    assert arriving.ready([job]) == [job]
    assert arriving.ready([job]) == []
    assert not arriving.open
    dated(tmp_path / "a.png", b"22", 30)
    assert arriving.ready([job]) == [job]
    other = Job(job.source, tmp_path / "out/a.png_x2.png")
    assert arriving.ready([other]) == [other]


@pytest.mark.parametrize("ahead", [0, 3600], ids=["our clock", "a clock an hour ahead"])
def test_what_grows_is_waited_for(tmp_path: Path, clock: list[float], ahead: float) -> None:
    job = Job(tmp_path / "a.png", tmp_path / "out/a.png")
    arriving = Arrivals()
    for length in range(5):
        dated(tmp_path / "a.png", bytes(length), -ahead)
        assert arriving.ready([job]) == []
        assert arriving.open
        clock[0] += SETTLED / 2
    assert arriving.ready([job]) == []
    clock[0] += SETTLED / 2
    assert arriving.ready([job]) == [job]
    assert not arriving.open


def test_what_is_gone_again_is_no_arrival(tmp_path: Path) -> None:
    arriving = Arrivals()
    assert arriving.ready([Job(tmp_path / "a.png", tmp_path / "b.png")]) == []
    assert not arriving.open
