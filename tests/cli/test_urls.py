"""Inputs and outputs behind URLs: the same files, lines and messages as with paths, and nothing half done."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mambair_cli.locations import objects
from mambair_cli.locations.url import Url, is_url, located
from tests.cli.run import Outcome, run
from tests.data.pictures import natural, write

fsspec: Any = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'mambair[urls]'")


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A store with two pictures in folders and a file that is none; the same as files in ``in``."""
    monkeypatch.chdir(tmp_path)
    store = fsspec.filesystem("memory")
    for name in ("in/a.png", "in/deep/b.png", "in/.hidden.png"):
        write(Path(name), natural(len(name), 12, 14))
        store.pipe_file(f"/shop/{name}", Path(name).read_bytes())
    store.pipe_file("/shop/in/notes.txt", b"no picture")
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


def upscaled(model: Path, *arguments: str) -> Outcome:
    return run("upscale", *arguments, "--model", str(model), "--json", "--device", "cpu")


def records(outcome: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


def names(store: Any) -> list[str]:
    return sorted(name.removeprefix("/shop/") for name in store.find("/shop") if not name.startswith("/shop/in"))


@pytest.mark.usefixtures("memory")
def test_a_folder_becomes_what_it_becomes_with_paths(memory: Any, x2: Path) -> None:
    outcome = upscaled(x2, "memory://shop/in", "-o", "memory://shop/out")
    assert outcome.code == 0, outcome.err
    assert [record["output"] for record in records(outcome)] == [
        "memory://shop/out/a_x2.png",
        "memory://shop/out/deep/b_x2.png",
    ]
    assert [record["input"] for record in records(outcome)] == ["memory://shop/in/a.png", "memory://shop/in/deep/b.png"]
    told = run("upscale", "memory://shop/in", "-o", "fetched", "--model", str(x2), "--device", "cpu")
    assert "Left out, being no pictures that are read: 1 .txt." in told.err
    assert upscaled(x2, "in", "-o", "alone").code == 0
    assert names(memory) == ["out/a_x2.png", "out/deep/b_x2.png"]
    for name in names(memory):
        assert memory.cat(f"/shop/{name}") == (Path("alone") / name.removeprefix("out/")).read_bytes()


@pytest.mark.usefixtures("memory")
def test_resume_skips_what_is_unchanged(memory: Any, x2: Path) -> None:
    arguments = ("memory://shop/in", "-o", "memory://shop/out", "--resume")
    assert [record["skipped"] for record in records(upscaled(x2, *arguments))] == [False, False]
    memory.pipe_file("/shop/in/a.png", Path("in/deep/b.png").read_bytes())
    assert [record["skipped"] for record in records(upscaled(x2, *arguments))] == [False, True]
    memory.pipe_file("/shop/out/a_x2.png", b"mine")
    outcome = upscaled(x2, *arguments)
    assert outcome.code == 1
    assert "memory://shop/out/a_x2.png exists already, and is no result of an earlier run" in outcome.err
    assert memory.cat("/shop/out/a_x2.png") == b"mine"


@pytest.mark.usefixtures("memory")
def test_a_run_killed_between_result_and_record(memory: Any, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("memory://shop/in", "-o", "memory://shop/out", "--resume")
    with monkeypatch.context() as patch:
        state = objects.state

        def killed(url: Url) -> tuple[int, int]:
            if "/out/" in str(url):
                raise MemoryError
            return state(url)

        patch.setattr(objects, "state", killed)
        assert upscaled(x2, *arguments).code == 1
    assert [record["skipped"] for record in records(upscaled(x2, *arguments))] == [True, True]


@pytest.mark.usefixtures("memory")
def test_a_result_that_cannot_be_sent_leaves_nothing(memory: Any, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = type(memory).mv

    def full(self: Any, old: str, new: str, **options: Any) -> None:
        if new.endswith(".png"):
            raise OSError(28, "No space left")
        moved(self, old, new, **options)

    monkeypatch.setattr(type(memory), "mv", full)
    outcome = upscaled(x2, "in/a.png", "-o", "memory://shop/out/a.png")
    assert outcome.code == 1
    assert "memory://shop/out/a.png cannot be reached: [Errno 28] No space left." in outcome.err
    assert names(memory) == []


@pytest.mark.usefixtures("memory")
def test_what_is_there_is_kept(memory: Any, x2: Path) -> None:
    memory.pipe_file("/shop/a_x2.png", b"mine")
    outcome = upscaled(x2, "in/a.png", "-o", "memory://shop/")
    assert (outcome.code, memory.cat("/shop/a_x2.png")) == (1, b"mine")
    assert "memory://shop/a_x2.png exists already." in outcome.err
    assert upscaled(x2, "in/a.png", "-o", "memory://shop/", "--overwrite").code == 0
    assert memory.cat("/shop/a_x2.png") != b"mine"


@pytest.mark.usefixtures("memory")
def test_patterns_and_a_single_file(x2: Path) -> None:
    outcome = upscaled(x2, "memory://shop/in/**/*.png", "-o", "out")
    assert [record["output"] for record in records(outcome)] == ["out/a_x2.png", "out/b_x2.png"], outcome.err
    assert "Nothing matches memory://shop/in/*.jpg." in upscaled(x2, "memory://shop/in/*.jpg", "-o", "out").err


def test_a_damaged_picture_has_the_name_of_its_url(memory: Any, x2: Path) -> None:
    memory.pipe_file("/shop/bad.png", b"bad")
    outcome = upscaled(x2, "memory://shop/bad.png", "memory://shop/gone.png", "-o", "out/")
    assert "Error: memory://shop/bad.png is not an image of a known format." in outcome.err
    assert "Error: memory://shop/gone.png does not exist." in outcome.err


def test_file_urls_are_paths(memory: Any, x2: Path, tmp_path: Path) -> None:
    outcome = upscaled(x2, (tmp_path / "in/a.png").as_uri(), "-o", f"{tmp_path.as_uri()}/out/")
    assert [record["output"] for record in records(outcome)] == [str(tmp_path / "out/a_x2.png")]
    assert upscaled(x2, f"local://{tmp_path}/in/a.png", "-o", f"local://{tmp_path}/sent/").code == 0
    assert (tmp_path / "sent/a_x2.png").read_bytes() == (tmp_path / "out/a_x2.png").read_bytes()
    outcome = upscaled(x2, "in/a.png", "-o", f"local://{tmp_path}/in/a.png", "--overwrite")
    assert "is also an input" in outcome.err


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("nowhere://shop/", 2, "nowhere:// is the scheme of no store that fsspec knows."),
        ("memory://shop/a.png::zip://b", 2, "is a chain of URLs, which are not followed."),
    ],
)
def test_urls_that_lead_nowhere(x2: Path, output: str, code: int, message: str) -> None:
    outcome = upscaled(x2, "in/a.png", "-o", output)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err


def test_a_store_that_refuses(memory: Any, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(type(memory), "put_file", refuse)
    outcome = upscaled(x2, "in/a.png", "-o", "memory://shop/")
    assert "may not be written by you." in outcome.err
    assert "Hint: Check your credentials for memory://" in outcome.err


def test_without_what_is_needed(memory: Any, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects._module.cache_clear()
    objects._system.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "fsspec", None)
        outcome = upscaled(x2, "memory://shop/in", "-o", "out")
    assert outcome.code == 1
    assert "Hint: Install it: pip install 'mambair[urls]'." in outcome.err
    outcome = run("upscale", "memory://shop/in", "-o", "out", "--model", str(x2), "--device", "cpu,cpu")
    assert outcome.code == 2
    assert "memory://shop/in/a.png is in the memory of one process." in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("watch", "s3://bucket/in", "out"),
        ("watch", ".", "s3://bucket/out"),
        ("data", "prepare", "lmdb", ".", "-o", "s3://bucket/out.lmdb"),
    ],
)
def test_commands_for_folders_of_this_machine(arguments: tuple[str, ...]) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert ", not s3://bucket" in outcome.err


@pytest.mark.parametrize(
    ("task", "options"),
    [("sr", ()), ("noise", ("--sigma", "25")), ("haze", ()), ("crops", ("--size", "8", "--step", "4"))],
)
def test_data_is_prepared_as_it_is_with_paths(memory: Any, task: str, options: tuple[str, ...]) -> None:
    command = ("data", "prepare", task)
    assert run(*command, "in", "-o", "alone", *options).code == 0
    arguments = (*command, "memory://shop/in", "-o", "memory://shop/out", *options, "--json")
    told = [json.loads(run(*arguments).out) for _ in range(2)]
    made = {name.removeprefix("out/"): memory.cat(f"/shop/{name}") for name in names(memory)}
    assert made == {path.relative_to("alone").as_posix(): path.read_bytes() for path in Path("alone").rglob("*.png")}
    assert [(each["made"], each["kept"]) for each in told] == [(len(made), 0), (0, len(made))]


@pytest.mark.usefixtures("memory")
def test_prepared_data_goes_beside_its_folder(memory: Any) -> None:
    assert run("data", "prepare", "jpeg", "memory://shop/in", "--quality", "20").code == 0
    assert names(memory) == ["LQ/20/a.jpg", "LQ/20/b.jpg"]
    outcome = run("data", "prepare", "jpeg", "memory://shop/nothing")
    assert (outcome.code, "There is no image in memory://shop/nothing." in outcome.err) == (1, True)


def test_an_incomplete_file_goes_when_it_is_old(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe_file("/shop/out/.mambair/1.part", b"half")
    folder = located("memory://shop/out")
    assert isinstance(folder, Url)
    objects.sweep(folder)
    assert memory.exists("/shop/out/.mambair/1.part")
    monkeypatch.setattr(objects, "FORGOTTEN", -objects.FORGOTTEN)
    objects.sweep(folder)
    assert not memory.exists("/shop/out/.mambair/1.part")


def test_the_parts_of_a_url() -> None:
    url = located("s3://bucket/a/b.tar.png/")
    assert isinstance(url, Url)
    assert (str(url), url.name, url.stem, url.suffix) == ("s3://bucket/a/b.tar.png", "b.tar.png", "b.tar", ".png")
    assert [str(folder) for folder in url.parents] == ["s3://bucket/a", "s3://bucket", "s3://"]
    assert str(url.with_name("c") / "." / "d/e") == "s3://bucket/a/c/d/e"
    assert not any(map(is_url, ["C:/a.png", "a.png", "s3:/a.png", "file:///a.png"]))
