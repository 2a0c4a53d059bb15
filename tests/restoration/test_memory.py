from pathlib import Path

import psutil
import pytest
import torch

from mambair_cli.restoration import memory


def test_free_memory_is_at_most_what_the_system_reports() -> None:
    assert 0 < memory.available(torch.device("cpu")) <= psutil.virtual_memory().total


def test_a_limit_of_any_enclosing_control_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/\n0::/user/job\n")
    folder = tmp_path / "user" / "job"
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text("max\n")
    (folder / "memory.current").write_text("5\n")
    monkeypatch.setattr(memory, "OWN_CGROUP", own)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory._cgroup_room() == []
    (folder.parent / "memory.max").write_text("1000\n")
    (folder.parent / "memory.current").write_text("400\n")
    assert memory._cgroup_room() == [600]
    assert memory.available(torch.device("cpu")) == 600
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "missing")
    assert memory._cgroup_room() == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("shapes"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_counts_as_running_out(error: Exception, expected: bool) -> None:
    assert memory.is_out_of_memory(error) is expected
