"""The line of a training keeps what matters on terminals of any width."""

import io
import re

import pytest
from rich.console import Console as RichConsole

from mambair_cli.console import Console

STATUS = ["loss 0.0123", "1.25 it/s", "lr 2.00e-04", "best psnr 38.12", "10.5 GiB"]
COLOURS, MOVES = re.compile(r"\x1b\[[0-9;]*m"), re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def lines(width: int, monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    file = io.StringIO()
    terminal = RichConsole(file=file, width=width, height=20, force_terminal=True, soft_wrap=True, highlight=False)
    monkeypatch.setattr(Console, "stderr", property(lambda self: terminal))
    with Console().counter(name, 500_000) as show:
        show(123_456, STATUS)
        show(123_457, STATUS)
    return [line for line in MOVES.sub("\n", COLOURS.sub("", file.getvalue())).splitlines() if line.strip()]


@pytest.mark.parametrize("name", ["x2", "mambairv2_lightSR_x4_from_scratch_second_try"])
def test_80_columns_keep_steps_remaining_time_and_loss(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    shown = lines(80, monkeypatch, name)[-1]
    assert len(shown) <= 80
    assert re.search(r"123457/500000 +\S*:\S+ +loss 0\.0123 · 1\.25 it/s", shown), shown
    assert name[:15] in shown


def test_wide_terminals_show_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(160, monkeypatch, "x2")[-1].rstrip().endswith(" · ".join(STATUS))
