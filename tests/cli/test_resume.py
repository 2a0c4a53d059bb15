"""``--resume``: what is finished and unchanged is skipped, the rest is done, and nothing of others is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mambair_cli.files.locks import claimed
from mambair_cli.images.decode import decode
from mambair_cli.restoration import picture as stages
from mambair_cli.restoration import prepared
from mambair_cli.restoration.record import NAME
from tests.cli.run import run
from tests.data.pictures import natural, write


def doubled(pixels: Any, *_: Any, **__: Any) -> Any:
    return pixels.repeat(2, 0).repeat(2, 1)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures, and pixels repeated instead of a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages, "restore", doubled)
    for number, name in enumerate(("a.png", "b.png", "deep/c.png")):
        write(Path("in") / name, natural(number, 6, 8))


def resume(model: Path, *options: str) -> dict[str, str]:
    """What was done with each input."""
    outcome = run("upscale", "in", "-o", "out", "--model", str(model), "--resume", "--json", *options)
    assert not list(Path().rglob(".mambair-*")), "a temporary file or lock was left"
    assert "unexpected" not in outcome.err
    return {record["input"]: _what(record) for record in map(json.loads, outcome.out.splitlines())}


def _what(record: dict[str, Any]) -> str:
    return "failed" if record["error"] else "skipped" if record["skipped"] else "done"


def everything(what: str) -> dict[str, str]:
    return dict.fromkeys(("in/a.png", "in/b.png", "in/deep/c.png"), what)


def outputs() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path("out").rglob("*.*") if path.suffix != ".jsonl"}


def test_what_is_finished_is_skipped(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resume(x2) == everything("done")
    before = outputs()
    monkeypatch.setattr(stages, "restore", lambda *_, **__: pytest.fail("the network ran"))
    assert resume(x2) == everything("skipped")
    assert outputs() == before
    assert resume(x2, "--scale", "2", "--overwrite") == everything("skipped"), "which says the same"


def test_the_summary_and_the_names(x2: Path) -> None:
    arguments = ["upscale", "in", "-o", "out", "--model", str(x2), "--resume"]
    first = run(*arguments)
    write(Path("in/d.png"), natural(9, 6, 8))
    Path("in/bad.png").write_bytes(b"bad")
    again = run(*arguments)
    assert (first.code, again.code) == (0, 1)
    assert set(first.out.split()) < set(again.out.split())
    assert "3 done in " in first.err
    assert "1 done, 3 skipped, 1 failed in " in again.err
    assert "1 of 5 files failed: in/bad.png." in again.err


def test_a_changed_input_is_done_again(x2: Path) -> None:
    resume(x2)
    write(Path("in/a.png"), natural(5, 6, 8))
    os.utime("in/b.png")
    assert resume(x2) == everything("skipped") | {"in/a.png": "done"}
    assert (decode(Path("out/a_x2.png")).pixels == doubled(decode(Path("in/a.png")).pixels)).all()
    assert resume(x2) == everything("skipped")


def test_another_input_of_the_same_name_size_and_date(x2: Path) -> None:
    resume(x2)
    state = Path("in/a.png").stat()
    Path("in").rename("before")
    for name in ("a.png", "b.png", "deep/c.png"):
        write(Path("in") / name, natural(7, 6, 8))
    pixels = bytearray(Path("before/a.png").read_bytes())
    pixels[-5] ^= 1  # in the checksum of the end, which no reader of pixels needs
    Path("in/a.png").write_bytes(pixels)
    os.utime("in/a.png", ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert resume(x2)["in/a.png"] != "skipped"


@pytest.mark.parametrize("change", ["model", "tile"])
def test_another_model_or_choice_does_everything_again(change: str, x2: Path, tmp_path: Path) -> None:
    resume(x2)
    if change == "model":
        import torch

        other = tmp_path / x2.name
        state = torch.load(x2)
        state["params"]["conv_first.bias"] += 1
        torch.save(state, other)
        assert resume(other) == everything("done")
    else:
        assert resume(x2, "--tile", "16") == everything("done")
        assert resume(x2, "--tile", "16") == everything("skipped")


def test_results_that_are_gone_are_made_again(x2: Path) -> None:
    resume(x2)
    Path("out/b_x2.png").unlink()
    assert resume(x2) == everything("skipped") | {"in/b.png": "done"}


@pytest.mark.parametrize("whose", ["painted over", "somebody else's", "link", "folder"])
def test_what_was_not_made_by_us_is_kept(whose: str, x2: Path) -> None:
    if whose == "painted over":
        resume(x2)
    place = Path("out/a_x2.png")
    place.unlink(missing_ok=True)
    place.parent.mkdir(exist_ok=True)
    if whose == "link":
        place.symlink_to("nowhere")
    elif whose == "folder":
        place.mkdir()
    else:
        place.write_bytes(b"mine")
    before = place.lstat()
    assert resume(x2)["in/a.png"] == "failed"
    assert (place.lstat().st_ino, place.lstat().st_size) == (before.st_ino, before.st_size)
    if whose != "folder":
        assert resume(x2, "--overwrite")["in/a.png"] == "done"
        assert resume(x2) == everything("skipped")


def test_an_ordinary_run_leaves_no_record_unless_something_is_left_to_do(
    x2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["upscale", "in", "-o", "out", "--model", str(x2)]
    assert run(*arguments).code == 0
    assert not list(Path().rglob(NAME))
    calls = iter([True, False])

    def interrupted(pixels: Any, *_: Any, **__: Any) -> Any:
        if next(calls):
            return doubled(pixels)
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "restore", interrupted)
    assert run(*arguments, "--overwrite").code == 130
    monkeypatch.setattr(stages, "restore", doubled)
    assert resume(x2)["in/a.png"] == "skipped"


def test_a_single_result_keeps_the_record_true(x2: Path) -> None:
    resume(x2)
    Path("in/a.png").write_bytes(Path("in/b.png").read_bytes())
    assert run("upscale", "in/a.png", "-o", "out/", "--model", str(x2), "--overwrite").code == 0
    assert resume(x2) == everything("skipped")


def test_a_file_on_which_another_process_works_is_waited_for(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out").mkdir()
    other = claimed(Path("out/a_x2.png"))
    assert other.__enter__()
    order: list[str] = []

    def waiting(seconds: float) -> None:
        order.extend(sorted(path.name for path in Path("out").rglob("*.png")))
        other.__exit__(None, None, None)

    monkeypatch.setattr(time, "sleep", waiting)
    outcome = run("upscale", "in", "-o", "out", "--model", str(x2), "--resume")
    assert order == ["b_x2.png", "c_x2.png"]
    assert outcome.out.split() == ["out/b_x2.png", "out/deep/c_x2.png", "out/a_x2.png"]
    assert "Waiting for 1 of 3 files, on which another process works." in outcome.err


SLOW = """
import sys, time
from mambair_archs import MambaIR
real = MambaIR.forward
def forward(network, x):
    time.sleep(0.02)
    return real(network, x)
MambaIR.forward = forward
from mambair_cli.entry import main
main()
"""


def start(model: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SLOW, "upscale", "many", "-o", "out", "--model", str(model), "--json", "--resume"]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Forty pictures in two folders, four of them broken; and the names of the good results."""
    monkeypatch.setattr(stages, "restore", prepared.restore)
    for number in range(40):
        path = write(Path("many") / ("x" if number % 2 else "y") / f"{number}.png", natural(number, 20, 24))
        if number % 10 == 3:
            path.write_bytes(path.read_bytes()[:100])
    return sorted(f"out/{'x' if n % 2 else 'y'}/{n}_x2.png" for n in range(40) if n % 10 != 3)


def test_killed_three_times(many: list[str], x2: Path) -> None:
    """The result is that of a run that was never killed."""
    calm = run("upscale", "many", "-o", "calm/", "--model", str(x2), "--quiet")
    assert calm.code == 1
    for kill_after in (1, 10, 6):
        with start(x2) as process:
            assert process.stdout is not None
            told = 0
            while told < kill_after:
                told += _what(json.loads(process.stdout.readline())) == "done"
            process.send_signal(signal.SIGKILL)
    with start(x2) as process:
        out, err = process.communicate()
    assert process.returncode == 1, err
    records = [json.loads(line) for line in out.splitlines()]
    assert len(records) == 40
    assert sum(record["skipped"] for record in records) >= 17
    assert sum(record["error"] is not None for record in records) == 4
    assert "4 of 40 files failed: many/x/13.png, many/x/23.png, many/x/3.png, many/x/33.png." in err
    assert sorted(str(path) for path in Path("out").rglob("*.png")) == many
    for name in many:
        assert Path(name).read_bytes() == Path(name.replace("out", "calm", 1)).read_bytes()
    assert {path.name for path in Path("out").rglob(".*")} == {NAME}


def test_two_processes_share_a_folder(many: list[str], x2: Path) -> None:
    with start(x2) as first, start(x2) as second:
        told = [json.loads(line) for process in (first, second) for line in process.communicate()[0].splitlines()]
    assert (first.returncode, second.returncode) == (1, 1)
    done = [record["output"] for record in told if record["error"] is None and not record["skipped"]]
    assert sorted(done) == many, "each is made once"
    assert {path.name for path in Path("out").rglob(".*")} == {NAME}
