"""Missing folders of known data sets name the command that fetches them."""

from pathlib import Path

import pytest

from mambair_cli.data.missing import command


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["datasets/DF2K/HR", "datasets/SR/Set5/LR_bicubic/X2"], "mambair fetch DF2K SR-test"),
        (["/d/DF2K/HR", "/d/DF2K/LR_bicubic/X2"], "mambair fetch DF2K --root /d"),
        (["datasets/RealDN/SIDD"], "mambair fetch RealDN"),
        (["datasets/photos"], "mambair fetch photos"),
        (["datasets/SR/mine/HR", "elsewhere/HR"], ""),
        ([], ""),
    ],
)
def test_the_command_for_missing_folders(folders: list[str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAMBAIR_DATA", raising=False)
    assert command(map(Path, folders)) == expected
