"""Checkpoints are whole or not there."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mambair_cli.errors import ModelError, OutputError
from mambair_cli.training import checkpoints

STATE = {"epoch": 0, "iter": 5, "optimizers": [], "schedulers": []}


def make(folder: Path, *numbers: int) -> None:
    for number in numbers:
        checkpoints.write(folder / "models" / f"net_g_{number}.pth", {"params": {"w": torch.ones(4)}})
        checkpoints.write(folder / "training_states" / f"{number}.state", STATE | {"iter": number})


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "5.state"
    checkpoints.write(path, STATE)
    before = path.read_bytes()

    def full(content: Any, file: Any) -> None:
        file.write(b"half")
        raise RuntimeError("[enforce fail] No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        checkpoints.write(path, {})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["5.state"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        checkpoints.write(tmp_path / "models" / "net_g_1.pth", {})


def test_the_newest_is_the_highest_number_not_the_last_name(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path, pytest.fail) is None
    make(tmp_path, 5, 1000, 999)
    (tmp_path / "training_states" / "2000.state.part").touch()
    assert checkpoints.newest(tmp_path, pytest.fail) == tmp_path / "training_states" / "1000.state"
    checkpoints.sweep(tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_old_checkpoints_go_best_and_latest_stay(tmp_path: Path) -> None:
    make(tmp_path, 5, 10, 15, 100)
    for name in ("best", "latest"):
        checkpoints.write(tmp_path / "models" / f"net_g_{name}.pth", {})
    checkpoints.prune(tmp_path, 2)
    assert {path.stem for path in (tmp_path / "training_states").iterdir()} == {"15", "100"}
    assert {path.stem for path in (tmp_path / "models").iterdir()} == {
        f"net_g_{end}" for end in ("15", "100", "best", "latest")
    }


@pytest.mark.parametrize("content", [b"", b"not a state", b"PK\x03\x04 and no more"])
def test_damage_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "5.state"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        checkpoints.read(path)


def test_other_files_are_no_states(tmp_path: Path) -> None:
    torch.save({"params": {}}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="no training state"):
        checkpoints.read(tmp_path / "net.pth")
    with pytest.raises(ModelError, match="does not exist"):
        checkpoints.read(tmp_path / "none.state")


def test_a_state_without_weights_is_told(tmp_path: Path) -> None:
    make(tmp_path, 5)
    (tmp_path / "models" / "net_g_5.pth").unlink()
    options: dict[str, Any] = {"network_g": {}, "path": {}}
    with pytest.raises(ModelError, match=r"net_g_5\.pth .* missing"):
        checkpoints.point_to_weights(options, tmp_path / "training_states" / "5.state", 5)


@pytest.mark.parametrize("victim", ["training_states/10.state", "models/net_g_10.pth"])
@pytest.mark.parametrize("harm", ["cut", "changed", "gone"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, victim: str, harm: str) -> None:
    make(tmp_path, 5, 10)
    path, warnings = tmp_path / victim, list[str]()
    content = bytearray(path.read_bytes())
    if harm == "changed":
        place = content.find(b"iter" if "state" in victim else torch.ones(4).numpy().tobytes())
        content[place] ^= 1
    path.write_bytes(content[: len(content) // 2] if harm == "cut" else content)
    if harm == "gone" and "state" not in victim:
        path.unlink()
    elif harm == "gone":
        path.write_bytes(b"")
    assert checkpoints.newest(tmp_path, warnings.append) == tmp_path / "training_states" / "5.state"
    [warning] = warnings
    assert warning.startswith("the checkpoint of iteration 10 cannot be used: ")


def test_checkpoints_none_of_which_is_whole_are_an_error(tmp_path: Path) -> None:
    make(tmp_path, 5, 10)
    for state in (tmp_path / "training_states").iterdir():
        state.write_bytes(b"")
    with pytest.raises(ModelError, match=r"10\.state"):
        checkpoints.newest(tmp_path, list[str]().append)
