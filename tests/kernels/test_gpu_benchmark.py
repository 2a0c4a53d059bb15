"""The program that measures a card, run where there is none."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from mambair_kernels import chunked, dispatch


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu", *arguments])
    return gpu.main()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a card")
def test_without_a_card_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch) == 1
    assert capsys.readouterr().err == gpu.NO_CARD + "\n"


def test_all_steps_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, "--device", "cpu", "--json", str(tmp_path / "report.json")) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert {row["what"] for row in report["rows"]} == {"core", "network", "stock", "training"}
    assert {row["type"] for row in report["rows"]} == {"fp32", "bf16"}
    assert all(row["seconds"] > 0 for row in report["rows"])
    assert all(row["bound"] > 0 and row["ratio"] for row in report["rows"] if row["what"] != "stock")
    checks = {check["backend"]: check for check in report["checks"]}
    assert len(checks) == len(report["checks"])
    assert all(check["passed"] for check in checks.values())
    assert 0 < checks["cpu"]["errors"]["fp32"] < 1e-4 < checks["cpu"]["errors"]["bf16"] < 0.05


def test_it_stops_when_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--device", "cpu", "--seconds", "0", "--json", str(tmp_path / "report.json")) == 0
    assert len(json.loads((tmp_path / "report.json").read_text())["rows"]) == 1
    assert "were not measured" in capsys.readouterr().err


def test_a_wrong_backend_ends_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dispatch.BACKENDS[0].module, "scan_2d", lambda *a: 1.1 * chunked.scan_2d(*a))
    assert run(monkeypatch, "--device", "cpu") == 1
    assert "nothing was measured" in capsys.readouterr().err
