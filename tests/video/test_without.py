"""What a clip meets where PyAV is not installed."""

import sys
from pathlib import Path

import pytest

from tests.cli.run import run


def test_the_extra_is_named(x2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    outcome = run("upscale", str(tmp_path / "clip.mp4"), "--model", str(x2))
    assert outcome.code == 1
    assert "PyAV, which opens clips, is not installed" in outcome.err
    assert "pip install 'mambair[video]'" in outcome.err
