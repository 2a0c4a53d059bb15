"""Folders, disks and names that are hard to handle: correct work, or a clear message."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mambair_cli.images.decode import decode
from mambair_cli.restoration import picture as stages
from tests.cli.run import run
from tests.data.fetch.test_processes import tmpfs_is_permitted
from tests.data.pictures import natural, write

NAMES = [
    "with space.png",
    "new\nline.png",
    "\U0001f985 eagle.png",
    os.fsdecode(b"caf\xe9.png"),
    "-dash.png",
    "[x]*?.png",
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages, "restore", lambda pixels, *_, **__: pixels.repeat(2, 0).repeat(2, 1))


def album(*names: str, folder: str = "in") -> None:
    write(Path("sample.png"), natural(0, 6, 8))
    for name in names:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("sample.png", path)
    Path("sample.png").unlink()


@pytest.mark.parametrize("flag", ["--resume", "--overwrite"])
def test_names(flag: str, x2: Path) -> None:
    album(*NAMES)
    for expected in (False, flag == "--resume"):
        outcome = run("upscale", "in", "-o", "out", "--model", str(x2), "--json", flag)
        assert outcome.code == 0, outcome.err
        assert outcome.out.isascii()
        records = [json.loads(line) for line in outcome.out.splitlines()]
        assert {record["input"] for record in records} == {f"in/{name}" for name in NAMES}
        assert all(record["skipped"] is expected for record in records)
        assert all(Path(record["output"]).is_file() for record in records)


@pytest.mark.parametrize("inputs", ["in", "in/**/*.png", "in/**"])
def test_links_that_go_in_circles(inputs: str, x2: Path) -> None:
    album("a.png", "deep/b.png")
    for name in ("loop", "other", "deep/back"):
        (Path("in") / name).symlink_to(Path("in").absolute())
    Path("in/self.png").symlink_to("self.png")
    outcome = run("upscale", inputs, "-o", "out", "--model", str(x2))
    assert outcome.code == 0, outcome.err
    assert len(outcome.out.split()) == 2


def test_patterns_are_those_of_a_shell(x2: Path) -> None:
    album("a.png", ".hidden.png", "deep/b.png", "deep/er/c.jpg", ".git/d.png")

    def found(pattern: str) -> set[str]:
        outcome = run("--json", "upscale", pattern, "-o", "out/", "--model", str(x2), "--overwrite")
        assert outcome.code == 0, outcome.err
        return {json.loads(line)["input"] for line in outcome.out.splitlines()}

    assert found("in/*.png") == {"in/a.png"}
    assert found("in/.*.png") == {"in/.hidden.png"}
    assert found("in/**/*.png") == {"in/a.png", "in/deep/b.png"}
    assert found("in/**/*") == found("in/**") == {"in/a.png", "in/deep/b.png", "in/deep/er/c.jpg"}
    assert found("i[n]/d**p/?.png") == {"in/deep/b.png"}
    assert found(f"{Path().absolute()}/in/deep/*/*") == {f"{Path().absolute()}/in/deep/er/c.jpg"}


def test_hidden_files_of_a_folder_are_left_out(x2: Path) -> None:
    album("a.png", "._a.png", ".thumbnails/b.png")
    assert run("upscale", "in", "-o", "out", "--model", str(x2)).out.split() == ["out/a_x2.png"]
    album(".trip/c.png")
    assert run("upscale", "in/.trip", "-o", "out", "--model", str(x2)).out.split() == ["out/c_x2.png"]


def test_folders_inside_folders_may_be_left_out(x2: Path) -> None:
    album("a.png", "deep/b.png")
    outcome = run("upscale", "in", "-o", "out", "--model", str(x2), "--no-recursive")
    assert outcome.out.split() == ["out/a_x2.png"]


@pytest.mark.parametrize("flags", [[], ["--resume"]])
def test_an_input_that_vanishes(flags: list[str], x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album("a.png", "b.png", "c.png", "d.png")

    def network(pixels: Any, *_: Any, **__: Any) -> Any:
        Path("in/c.png").unlink(missing_ok=True)
        return pixels

    monkeypatch.setattr(stages, "restore", network)
    outcome = run("upscale", "in", "-o", "out", "--model", str(x2), *flags)
    assert outcome.code == 1
    assert outcome.out.split() == [f"out/{name}_x2.png" for name in "abd"]
    assert "Error: in/c.png does not exist." in outcome.err
    assert {path.name for path in Path("out").glob("[!.]*")} == {f"{name}_x2.png" for name in "abd"}


def test_an_input_that_is_being_written(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    album("a.png", "b.png")

    @functools.wraps(decode)
    def growing(path: Path, **options: Any) -> Any:
        picture = decode(path, **options)
        if path.name == "b.png":
            with path.open("ab") as file:
                file.write(b"more")
        return picture

    monkeypatch.setattr(stages, "decode", growing)
    outcome = run("upscale", "in", "-o", "out", "--model", str(x2), "--resume")
    assert outcome.code == 1
    assert "Error: in/b.png changed while it was read." in outcome.err


@pytest.mark.skipif(not tmpfs_is_permitted(), reason="a disk of its own cannot be made here")
@pytest.mark.parametrize("case", ["full", "read-only"])
def test_disks(case: str, x2: Path) -> None:
    """One disk takes one of the results, the other none; with --resume the rest is done when there is room."""
    album("a.png", "b.png")
    write(Path("in/large.png"), natural(1, 300, 400))
    Path("disk").mkdir()
    command = f"{sys.executable} -m mambair_cli upscale in -o disk/out --model {x2} --resume"
    mount, again = {
        "full": ("mount -t tmpfs -o size=200k none disk", "mount -o remount,size=9m none disk"),
        "read-only": ("mount -t tmpfs -o ro none disk", "mount -o remount,rw none disk"),
    }[case]
    script = f"{mount}; {command}; echo $?; ls -A disk disk/out; {again}; {command} -q; echo $?; ls -A disk/out"
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    result = subprocess.run(namespace, capture_output=True, text=True, check=False)
    first, last = result.stdout.split("1\n", 1)
    reason = {"full": "No space left on device", "read-only": "Read-only file system"}[case]
    assert f"disk/out/large_x2.png cannot be written: {reason}." in result.stderr
    assert "Traceback" not in result.stderr
    assert first.split() == (["disk/out/a_x2.png", "disk/out/b_x2.png"] if case == "full" else [])
    hint = "Hint: Make room, or choose another place with -o." if case == "full" else "Hint: Choose another place"
    assert hint in result.stderr
    assert ".lock" not in last
    assert ".part" not in last
    done = last.rsplit("0\n", 1)[1].split()
    assert done == [".mambair.jsonl", "a_x2.png", "b_x2.png", "large_x2.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png", "--format", "webp", "-o", "b.png"], "The output b.png is no webp."),
        (["a.png", "--quality", "90"], "--quality is for lossy formats, not for .png."),
        (["a.png", "--scale", "2", "--width", "9"], "--scale and --width or --height contradict each other."),
        (["a.png", "--whole", "--tile", "64"], "--whole and --tile contradict each other."),
        (["a.png", "--suffix", "/../b"], "The suffix /../b holds what names cannot."),
        (["a.png", "--suffix", "", "--overwrite"], "The output a.png is also an input."),
    ],
)
def test_choices_that_contradict_each_other(arguments: list[str], message: str, x2: Path) -> None:
    album("a.png", folder=".")
    outcome = run("upscale", *arguments, "--model", str(x2))
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert [path.name for path in Path().iterdir()] == ["a.png"]


def test_names_of_results(x2: Path) -> None:
    album("a.b.png", folder=".")

    def named(*options: str) -> str:
        outcome = run("upscale", "a.b.png", "--model", str(x2), "--overwrite", *options)
        assert outcome.code == 0, outcome.err
        return outcome.out.strip()

    assert named() == "a.b_x2.png"
    assert named("--suffix", "-large", "--format", "webp") == "a.b-large.webp"
    assert named("--suffix", "", "--format", "jpg") == "a.b.jpg"
    assert named("--suffix", "", "-o", "out/") == "out/a.b.png"
    assert named("--format", "tif", "-o", "x.TIFF") == "x.TIFF"
