import pytest
import torch

from mambair_kernels import BackendError, dispatch, reference, selftest

CPU = torch.device("cpu")


def test_a_backend_is_chosen_with_reasons_for_all() -> None:
    rows = dispatch.verdicts(CPU)
    assert [row.name for row in rows] == [backend.name for backend in dispatch.BACKENDS]
    assert [row.chosen for row in rows].count(True) == 1
    assert all(row.reason for row in rows)
    chosen = next(row.name for row in rows if row.chosen)
    assert dispatch.select(CPU).name == chosen != "reference"


@pytest.mark.parametrize("name", ["reference", "chunked"])
def test_the_variable_overrides(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dispatch.VARIABLE, name)
    assert dispatch.select(CPU).name == name
    chosen = [row for row in dispatch.verdicts(CPU) if row.chosen]
    assert [row.name for row in chosen] == [name]
    assert dispatch.VARIABLE in chosen[0].reason


def test_an_unknown_backend_is_an_error_that_lists_the_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(dispatch.VARIABLE, "fast")
    with pytest.raises(BackendError, match=r"fast is not a scan backend; choose one of .*chunked"):
        dispatch.select(CPU)
    rows = dispatch.verdicts(CPU)
    assert not any(row.chosen for row in rows)
    assert all(f"{dispatch.VARIABLE} asks for fast" in row.reason for row in rows if row.usable)


def test_a_backend_that_cannot_run_is_passed_over_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def available() -> tuple[bool, str]:
            return False, "the library is missing"

    broken = dispatch.Backend("broken", Broken)  # type: ignore[arg-type]
    picky = dispatch.Backend("picky", reference, devices=frozenset({"cuda"}))
    narrow = dispatch.Backend("narrow", reference, dtypes=frozenset({torch.float16}))
    monkeypatch.setattr(dispatch, "BACKENDS", (broken, picky, narrow, *dispatch.BACKENDS))
    reasons = {row.name: row.reason for row in dispatch.verdicts(CPU)}
    assert reasons["broken"] == "the library is missing"
    assert "not on cpu" in reasons["picky"]
    assert "float32" in reasons["narrow"]
    assert dispatch.select(CPU).name not in ("broken", "picky", "narrow")
    monkeypatch.setenv(dispatch.VARIABLE, "broken")
    with pytest.raises(BackendError, match="the library is missing"):
        dispatch.select(CPU)


@pytest.mark.parametrize("backend", dispatch.BACKENDS, ids=lambda backend: backend.name)
def test_selftest_measures_rounding_only(backend: dispatch.Backend) -> None:
    if not backend.accepts(CPU, torch.float32)[0]:
        pytest.skip(backend.accepts(CPU, torch.float32)[1])
    assert 0 < selftest.deviation(backend.name, CPU) < 1e-4
