"""The program that measures a card, run where there is none."""

import json
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [(row["what"], row["name"]) for row in rows] == [("core", "light")]
    assert "were not measured" in capsys.readouterr().err


def test_a_wrong_backend_ends_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dispatch.BACKENDS[0].module, "scan_2d", lambda *a: 1.1 * chunked.scan_2d(*a))
    assert run(monkeypatch, "--device", "cpu") == 1
    assert "nothing was measured" in capsys.readouterr().err


def test_rows_come_in_the_order_of_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a card is asked first, should its time not suffice for all."""

    def note(what: str) -> Any:
        return lambda card, name, sizes, types=tuple(gpu.TYPES): ((what, name, *each) for each in product(sizes, types))

    monkeypatch.setattr(gpu, "cores", note("core"))
    monkeypatch.setattr(gpu, "networks", note("network"))
    monkeypatch.setattr(gpu, "stock", lambda card, sizes: (("stock",) for _ in sizes))
    monkeypatch.setattr(gpu, "training", lambda card, size, batch: [("training",)])
    rows: list[Any] = list(gpu.tables(SimpleNamespace(tiny=False), quick=False))  # type: ignore[arg-type]
    assert len(set(rows)) == len(rows) - 1  # of stock there are two sizes
    wanted = [
        ("core", "light", 256, "fp32"),
        ("network", "light", 256, "fp32"),
        ("core", "classic", 256, "fp32"),
        ("network", "light", 1024, "fp32"),
        ("network", "light", 2048, "bf16"),
        ("training",),
        ("stock",),
        ("network", "classic", 1024, "bf16"),
    ]
    assert [rows.index(row) for row in wanted] == sorted(rows.index(row) for row in wanted)
    quick: list[Any] = list(gpu.tables(SimpleNamespace(tiny=False), quick=True))  # type: ignore[arg-type]
    assert {row[2] for row in quick if len(row) > 2} == {64, 256}


def test_a_row_as_text() -> None:
    """The share of the bound is that of the faster way of calling."""
    row = {"what": "core", "name": "light", "size": 256, "type": "fp32", "backend": "cuda", "seconds": 4e-4}
    more = {"graph_seconds": 2.4e-4, "first_seconds": 1.3, "bound": 1.2e-4, "ratio": 5.84, "peak_bytes": 3 << 20}
    assert gpu.line({**row, **more}).split()[5:] == ["1.3", "0.400", "0.240", "5.84x", "50.0%", "3"]
    assert gpu.line({**row, **more, "seconds": None}).endswith("out of memory")
    assert gpu.HEAD.split()[3:] == ["first", "s", "ms", "graph", "ratio", "of", "bound", "MiB"]
    assert len(gpu.HEAD) == len(gpu.line({**row, **more}))
