"""The program that measures a card, run where there is none."""

import json
import shutil
import sys
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import gpu, gpu_layers
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
    assert {row["what"] for row in report["rows"]} == {"core", "layer", "network", "start", "stock", "training"}
    assert {row["type"] for row in report["rows"]} == {"fp32", "bf16"}
    assert all(row["seconds"] > 0 for row in report["rows"])
    assert all(row["bound"] > 0 and row["ratio"] for row in report["rows"] if row["what"] not in ("start", "stock"))
    starts = [row for row in report["rows"] if row["what"] == "start"]
    assert [row["name"] for row in starts] == ["nothing kept", "kept by Triton", "all kept"]
    assert all(row["seconds"] > row["import_seconds"] + row["first_seconds"] > 0 for row in starts)
    checks = {check["backend"]: check for check in report["checks"]}
    assert len(checks) == len(report["checks"])
    assert all(check["passed"] for check in checks.values())
    assert 0 < checks["cpu"]["errors"]["fp32"] < 1e-4 < checks["cpu"]["errors"]["bf16"] < 0.05


def test_it_stops_when_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--device", "cpu", "--seconds", "0", "--json", str(tmp_path / "report.json")) == 0
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [(row["what"], row["name"]) for row in rows] == [("start", "nothing kept")]
    assert "were not measured" in capsys.readouterr().err


def test_a_wrong_backend_ends_the_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dispatch.BACKENDS[0].module, "scan_2d", lambda *a: 1.1 * chunked.scan_2d(*a))
    assert run(monkeypatch, "--device", "cpu") == 1
    assert "nothing was measured" in capsys.readouterr().err


def test_rows_come_in_the_order_of_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a card is asked first, should its time not suffice for all."""

    def note(what: str) -> Any:
        return lambda card, name, sizes, types=tuple(gpu.TYPES): ((what, name, *each) for each in product(sizes, types))

    monkeypatch.setattr(gpu, "starts", lambda card: [("start",)])
    monkeypatch.setattr(gpu, "layers", lambda card, sizes: [("layer",)])
    monkeypatch.setattr(gpu, "cores", note("core"))
    monkeypatch.setattr(gpu, "networks", note("network"))
    monkeypatch.setattr(gpu, "stock", lambda card, sizes: (("stock",) for _ in sizes))
    monkeypatch.setattr(gpu, "training", lambda card, size, batch: [("training",)])
    rows: list[Any] = list(gpu.tables(SimpleNamespace(tiny=False), quick=False))  # type: ignore[arg-type]
    assert len(set(rows)) == len(rows) - 1  # of stock there are two sizes
    wanted = [
        ("start",),
        ("network", "light", 64, "fp32"),
        ("core", "light", 256, "fp32"),
        ("layer",),
        ("training",),
        ("network", "classic", 64, "fp32"),
        ("core", "classic", 256, "fp32"),
        ("network", "light", 1024, "fp32"),
        ("network", "light", 2048, "bf16"),
        ("stock",),
        ("network", "classic", 1024, "bf16"),
    ]
    assert [rows.index(row) for row in wanted] == sorted(rows.index(row) for row in wanted)
    quick: list[Any] = list(gpu.tables(SimpleNamespace(tiny=False), quick=True))  # type: ignore[arg-type]
    assert {row[2] for row in quick if len(row) > 2} == {64, 256}


@pytest.mark.skipif(not shutil.which("false"), reason="there is no program that fails")
def test_a_process_that_fails_is_said_and_passed_over(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    card = SimpleNamespace(device=torch.device("cpu"))
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    assert not list(gpu.starts(card))  # type: ignore[arg-type]
    assert "its start was not measured" in capfd.readouterr().err


def test_layers_move_what_they_read_and_write() -> None:
    """float32: 16 pixels of 60 numbers in, of 144 out, a matrix between them, weight and bias of the norm."""
    layer = gpu_layers.layers(4, torch.device("cpu"), torch.float32)[1]
    assert layer.moved == 4 * (16 * 60 + 16 * 144 + 60 * 144 + 2 * 60)
    assert layer().shape == (1, 4, 4, 144)


def test_a_row_as_text() -> None:
    """The share of the bound is that of the faster way of calling."""
    row = {"what": "core", "name": "light", "size": 256, "type": "fp32", "backend": "cuda", "seconds": 4e-4}
    more = {"graph_seconds": 2.4e-4, "first_seconds": 1.3, "bound": 1.2e-4, "ratio": 5.84, "peak_bytes": 3 << 20}
    assert gpu.line({**row, **more}).split()[5:] == ["1.3", "0.400", "0.240", "5.84x", "50.0%", "3"]
    assert gpu.line({**row, **more, "seconds": None}).endswith("out of memory")
    assert gpu.HEAD.split()[3:] == ["first", "s", "ms", "graph", "ratio", "of", "bound", "MiB"]
    assert len(gpu.HEAD) == len(gpu.line({**row, **more}))
