"""One picture through standard input and standard output, and nothing else."""

import io
import json
import os
import pty
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mambair_cli.images.decode import decode
from mambair_cli.restoration import picture as stages
from tests.cli.run import run
from tests.data.pictures import natural, write


class Stream(io.TextIOWrapper):
    """A standard stream over bytes."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stages, "restore", lambda pixels, *_, **__: pixels.repeat(2, 0).repeat(2, 1))
    write(Path("a.png"), natural(0, 6, 8))


def piped(data: bytes, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, bytes, str]:
    """Exit code, bytes on standard output, and what was said."""
    out, err = io.BytesIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdin", Stream(data))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="ascii", write_through=True))
    monkeypatch.setattr(sys, "stderr", err)
    from mambair_cli.app import app

    with pytest.raises(SystemExit) as stop:
        app([*arguments], prog_name="mambair")
    return int(stop.value.code or 0), out.getvalue(), err.getvalue()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
@pytest.mark.parametrize("output", [[], ["-o", "-"]])
def test_the_format_is_told_by_the_content(
    suffix: str, output: list[str], x2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(Path(f"in{suffix}"), natural(1, 6, 8))
    data = Path(f"in{suffix}").read_bytes()
    code, out, err = piped(data, monkeypatch, "upscale", "-", *output, "--model", str(x2))
    assert (code, out[:8]) == (0, b"\x89PNG\r\n\x1a\n"), err
    assert "- (8 x 6)" in err
    Path("out.png").write_bytes(out)
    assert np.array_equal(decode(Path("out.png")).pixels, decode(Path(f"in{suffix}")).pixels.repeat(2, 0).repeat(2, 1))


def test_a_file_to_standard_output_in_another_format(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = piped(
        b"", monkeypatch, "upscale", "a.png", "-o", "-", "--format", "jpg", "--model", str(x2), "--json"
    )
    assert (code, out[:3]) == (0, b"\xff\xd8\xff"), err
    record = json.loads(err)
    assert (record["input"], record["output"]) == ("a.png", "-")


def test_standard_input_to_a_file(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path("a.png").read_bytes()
    code, out, _ = piped(data, monkeypatch, "upscale", "-", "-o", "new/b.png", "--model", str(x2))
    assert (code, out) == (0, b"new/b.png\n")
    assert decode(Path("new/b.png")).pixels.shape == (12, 16, 3)


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture(data: bytes, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = piped(data, monkeypatch, "upscale", "-", "--model", str(x2))
    assert (code, out) == (1, b"")
    assert "tandard input" in err or "stdin" in err
    assert "unexpected" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "a.png"], "Standard input is one picture"),
        (["a.png", "a.png", "-o", "-"], "Standard output takes one picture"),
        ([".", "-o", "-"], "Standard output takes one picture"),
        (["-", "--device", "cpu,cpu"], "cannot be shared by several devices"),
    ],
)
def test_more_than_one(arguments: list[str], message: str, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = piped(Path("a.png").read_bytes(), monkeypatch, "upscale", *arguments, "--model", str(x2))
    assert (code, out) == (2, b"")
    assert message in err


@pytest.mark.parametrize("arguments", [["-", "-o", "b.png"], ["a.png", "-o", "-"], ["-"]])
def test_a_terminal_is_refused(arguments: list[str], x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = pty.openpty()
    with os.fdopen(leader), os.fdopen(follower, "r+b", buffering=0) as terminal:
        stream: Any = io.TextIOWrapper(terminal, write_through=True)
        monkeypatch.setattr(sys, "stdin", stream)
        monkeypatch.setattr("mambair_cli.restoration.pipes.sys.stdout", stream)
        err = io.StringIO()
        monkeypatch.setattr(sys, "stderr", err)
        from mambair_cli.app import app

        with pytest.raises(SystemExit) as stop:
            app(["upscale", *arguments, "--model", str(x2)], prog_name="mambair")
    assert stop.value.code == 2
    assert "is a terminal" in err.getvalue()
    assert [path.name for path in Path().iterdir()] == ["a.png"]


def test_nobody_reads(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    err = io.StringIO()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", err)
        from mambair_cli.app import app

        with pytest.raises(SystemExit) as stop:
            app(["upscale", "a.png", "-o", "-", "--model", str(x2)], prog_name="mambair")
    assert stop.value.code == 1
    assert "Standard output cannot be written to: Broken pipe." in err.getvalue()
    assert run("upscale", "a.png", "--model", str(x2)).code == 0
