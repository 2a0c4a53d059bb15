"""``mambair watch``: folders into which pictures come."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from mambair_cli.restoration import arrivals
from mambair_cli.restoration import picture as stages
from tests.cli.run import run

Step = Callable[[], Any]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(arrivals, "SETTLED", 0.0)
    monkeypatch.setattr(stages, "restore", lambda pixels, *_, **__: pixels.repeat(2, 0).repeat(2, 1))
    Path("in").mkdir()


def happens(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> None:
    """Each step is followed by a look; then comes Ctrl-C."""

    def watch(folder: Path, **_: Any) -> Iterator[set[Any]]:
        for step in steps:
            step()
            yield {"something"}
        raise KeyboardInterrupt

    module = ModuleType("watchfiles")
    module.watch = watch  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "watchfiles", module)


def picture(name: str, width: int = 6) -> Step:
    def put() -> None:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, 5)).save(name)

    return put


def test_each_picture_is_done_once_and_again_when_it_changes(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("in/there.png")()
    wide = picture("in/there.png", 9)
    steps = [lambda: None, picture("in/deep/new.jpg"), Path("in/note.txt").touch, wide, Path("in/there.png").unlink]
    happens(monkeypatch, *steps)
    outcome = run("watch", "in", "in/out", "--model", str(x2))
    assert outcome.code == 130
    assert outcome.out.split() == ["in/out/there_x2.png", "in/out/deep/new_x2.png", "in/out/there_x2.png"]
    with Image.open("in/out/there_x2.png") as result:
        assert result.size == (18, 10)
    assert outcome.err.splitlines()[-1] == "Warning: interrupted; files written so far are complete."


def test_a_second_watch_skips_what_is_finished_and_keeps_what_is_not_ours(
    x2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture("in/a.png")()
    Path("out").mkdir()
    Path("out/b_x2.png").write_bytes(b"theirs")
    happens(monkeypatch)
    assert run("watch", "in", "out", "--model", str(x2)).out == "out/a_x2.png\n"
    written = Path("out/a_x2.png").stat()
    happens(monkeypatch, picture("in/b.png"), picture("in/c.png"))
    outcome = run("watch", "in", "out", "--model", str(x2))
    assert Path("out/a_x2.png").stat().st_mtime_ns == written.st_mtime_ns
    assert Path("out/b_x2.png").read_bytes() == b"theirs"
    assert "out/b_x2.png exists already" in outcome.err
    assert Path("out/c_x2.png").exists()


def test_a_bad_file_ends_nothing_and_is_told_once(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad() -> None:
        Path("in/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    happens(monkeypatch, bad, lambda: None, picture("in/good.png"))
    outcome = run("watch", "in", "out", "--model", str(x2))
    assert (outcome.code, outcome.out) == (130, "out/good_x2.png\n")
    assert outcome.err.count("Error: ") == 1


def test_what_is_not_read_is_counted_once_whenever_it_comes(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note, film = Path("in/note.txt"), Path("in/x.mng")
    happens(monkeypatch, note.touch, lambda: None, film.touch, note.unlink, note.touch, Path("in/more.txt").touch)
    outcome = run("watch", "in", "out", "--model", str(x2))
    said = [line for line in outcome.err.splitlines() if line.startswith("Left out")]
    assert said == [f"Left out, being no pictures that are read: 1 {kind}." for kind in (".txt", ".mng", ".txt")]


def test_names_that_change_are_told(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happens(monkeypatch, picture("in/a.png"), picture("in/a.jpg"), lambda: None)
    outcome = run("watch", "in", "out", "--model", str(x2))
    assert outcome.err.count("in/a.png becomes a.png_x2.png") == 1
    assert sorted(outcome.out.split()) == ["out/a.png_x2.png", "out/a_x2.png", "out/a_x2.png"]


def test_a_folder_that_goes_away_ends_it(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happens(monkeypatch, Path("in").rmdir)
    outcome = run("watch", "in", "out", "--model", str(x2))
    assert outcome.code == 1
    assert "The folder in is gone." in outcome.err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["no", "out"], 1, "There is no folder no."),
        (["in", "in/../in"], 2, "would be restored once more"),
        (["in", "file"], 2, "file is no folder."),
        (["in", "-"], 2, "Results go into a folder."),
        (["in", "out", "--task", "denoise", "--scale", "2"], 2, "--scale is not for --task denoise."),
        (["in", "out", "--quality", "90"], 2, "--quality is for lossy formats, not for .png."),
    ],
)
def test_what_cannot_work_is_refused_before_it_waits(
    arguments: list[str], code: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    happens(monkeypatch, lambda: pytest.fail("it waited"))
    outcome = run("watch", *arguments)
    assert outcome.code == code
    assert text in outcome.err


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    outcome = run("watch", "in", "out")
    assert outcome.code == 1
    assert "pip install 'mambair[watch]'" in outcome.err


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_for_real(x2: Path) -> None:
    pytest.importorskip("watchfiles")
    command = [sys.executable, "-m", "mambair_cli", "watch", "in", "out", "--model", str(x2)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stderr.readline() == "Watching in, until Ctrl-C.\n"
        picture("in/a.png")()
        old = time.time() - 60
        os.utime("in/a.png", (old, old))
        assert process.stdout.readline() == "out/a_x2.png\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    finally:
        process.kill()
        process.communicate()
    assert {each.name for each in Path("out").iterdir()} == {"a_x2.png", ".mambair.jsonl"}
