"""Checks of a card that later processes need not make again."""

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mambair_kernels import trusted
from mambair_kernels.cuda import driver

CARD = torch.device("cuda", 0)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> dict[str, Any]:
    """What a machine with a card tells of it."""
    told: dict[str, Any] = {"name": "NVIDIA H200", "driver": b"580.65.06", "capability": (9, 0), "answers": 0}

    def told_version(text: ctypes.Array[ctypes.c_char], size: int) -> int:
        text.value = told["driver"][: size - 1]
        return int(told["answers"])

    management = SimpleNamespace(nvmlInit_v2=lambda: 0, nvmlShutdown=lambda: 0, nvmlSystemGetDriverVersion=told_version)
    monkeypatch.setenv("MAMBAIR_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: told["name"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: told["capability"])
    monkeypatch.setattr(driver, "_management", lambda: management)
    monkeypatch.setattr(driver, "compiler_version", lambda: "13.0")
    pytest.importorskip("triton")
    return told


def checks(what: str, *found: float, device: torch.device = CARD) -> int:
    """How often a check is made if it is asked for once per result that it would give."""
    made = 0

    def check() -> float:
        nonlocal made
        made += 1
        return found[made - 1]

    for _ in found:
        trusted.deviation(what, device, check, 1e-2)
    return made


def test_a_check_is_made_once(card: dict[str, Any]) -> None:
    assert checks("cuda", 1e-6, 0.5) == 1
    assert trusted.deviation("cuda", CARD, lambda: 0.5, 1e-2) == 1e-6
    assert checks("triton", 1e-6, 0.5) == 1


@pytest.mark.parametrize(
    ("fact", "value"), [("name", "NVIDIA A100"), ("driver", b"580.82.07"), ("capability", (10, 0))]
)
def test_another_card_or_driver_is_checked(card: dict[str, Any], fact: str, value: Any) -> None:
    before = card[fact]
    assert checks("cuda", 1e-6) == 1
    card[fact] = value
    assert checks("cuda", 2e-6) == 1
    card[fact] = before
    assert checks("cuda", 3e-6) == 0


def test_another_version_is_checked(card: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks("cuda", 1e-6) == 1
    for module, name, value in ((torch, "__version__", "9.9"), (driver, "compiler_version", lambda: "13.1")):
        monkeypatch.setattr(module, name, value)
        assert checks("cuda", 1e-6, 1e-6) == 1
    monkeypatch.setattr(trusted, "_source", lambda: "other")
    assert checks("cuda", 1e-6, 1e-6) == 1


@pytest.mark.parametrize("wrong", [0.5, float("nan"), float("inf")])
def test_what_is_wrong_is_found_again(card: dict[str, Any], wrong: float) -> None:
    assert checks("cuda", wrong, wrong) == 2


def test_where_the_driver_does_not_tell_its_version_each_process_checks(card: dict[str, Any]) -> None:
    card["answers"] = 999
    assert checks("cuda", 1e-6, 1e-6) == 2
    card["answers"] = 0
    assert checks("cuda", 1e-6, 1e-6, device=torch.device("xpu")) == 2
