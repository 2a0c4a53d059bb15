import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from mambair_cli.restoration import memory


def test_free_memory_is_what_the_system_calls_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_cgroup_room", list)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=123, total=456, free=78))
    assert memory.available(torch.device("cpu")) == 123


@pytest.mark.parametrize(
    ("line", "folder", "limit", "usage", "cached"),
    [
        ("0::/user/job", "", "memory.max", "memory.current", "inactive_file"),
        ("4:cpu,memory:/user/job", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ],
    ids=["version 2", "version 1"],
)
def test_a_limit_of_any_enclosing_control_group_counts(
    line: str, folder: str, limit: str, usage: str, cached: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.write_text(f"1:name=systemd:/\n{line}\n")
    group = tmp_path / folder / "user" / "job"
    group.mkdir(parents=True)
    (group / limit).write_text("max\n")
    monkeypatch.setattr(memory, "OWN_CGROUP", own)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory._cgroup_room() == []
    (group.parent / limit).write_text("1000\n")
    (group.parent / usage).write_text("700\n")
    (group.parent / "memory.stat").write_text(f"anon 400\n{cached} 300\n")
    assert memory._cgroup_room() == [600]  # cached pages are given back on demand
    assert memory.available(torch.device("cpu")) == 600
    monkeypatch.setattr(memory, "OWN_CGROUP", tmp_path / "missing")
    assert memory._cgroup_room() == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("could not create a memory object"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("shapes"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_what_counts_as_running_out(error: Exception, expected: bool) -> None:
    assert memory.is_out_of_memory(error) is expected


def test_the_peak_on_macos_is_in_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    system = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_maxrss=123_456_789))
    monkeypatch.setitem(sys.modules, "resource", system)
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "missing")
    assert memory.peak(torch.device("cpu")) == 123_456_789
