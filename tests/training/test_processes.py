"""Several processes are one training: same weights, same end, whatever happens to one of them."""

import signal
import socket
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from mambair_cli.errors import DeviceError, MambairError
from mambair_cli.training import launch, team
from mambair_cli.training.interruption import deferred

from .conftest import checkpoint, differences, edsr, mambair, start, train

KILLED = str(Path(__file__).parent / "scripts/killed.py")


def said() -> str:
    return Path("said.txt").read_text(encoding="utf-8", errors="replace")


def together(recipe: dict[str, Any], *arguments: str) -> "subprocess.Popen[bytes]":
    return start(recipe, "-m", "mambair_cli", "train", "recipe.yml", "--nproc", "2", *arguments)


def test_two_processes_with_half_the_batch_are_one_with_all_of_it(place: Path) -> None:
    assert train(edsr(name="one", train__total_iter=20)).code == 0
    recipe = edsr(name="two", train__total_iter=20, datasets__train__batch_size_per_gpu=2)
    assert together(recipe).wait(300) == 0, said()
    one, two = (checkpoint(name, 20)[0] for name in ("one", "two"))
    for key in ("params", "params_ema"):
        for name, value in one[key].items():
            torch.testing.assert_close(two[key][name], value, rtol=0, atol=1e-6)


# Three launches in one test, because each costs seconds.
def test_a_killed_process_ends_the_others_and_all_of_them_resume(place: Path) -> None:
    recipe = mambair()
    assert together({**recipe, "name": "straight"}).wait(300) == 0, said()
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    victim = start(recipe, *torchrun, KILLED, "train", "recipe.yml", KILL="step:8", KILL_RANK="1")
    assert victim.wait(300) != 0
    assert team.GONE in said()
    assert together(recipe).wait(300) == 0, said()
    assert "going on from iteration 5" in said()
    assert differences(checkpoint("straight", 12), checkpoint("tiny", 12)) == []


def test_two_nodes_restart_after_a_killed_process(place: Path) -> None:
    """Two agents of torchrun, as on two machines: they begin again from the last checkpoint, and nothing shows.

    Without the variable, processes that start again find the addresses of those before them (torch 2.13).
    """
    recipe = mambair()
    assert together({**recipe, "name": "straight"}).wait(300) == 0, said()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", where, "--rdzv-id", "tiny", "--max-restarts", "1")
    agent = ("-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", *meeting)
    variables = {"KILL": "step:8", "KILL_RANK": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    first = start(recipe, *agent, KILLED, "train", "recipe.yml", **variables)
    Path("said.txt").rename("first.txt")
    second = start(recipe, *agent, KILLED, "train", "recipe.yml", **variables)
    try:
        assert (first.wait(300), second.wait(300)) == (0, 0), Path("first.txt").read_text() + said()
    finally:
        first.kill()
        second.kill()
    assert "going on from iteration 5" in Path("first.txt").read_text() + said()
    assert differences(checkpoint("straight", 12), checkpoint("tiny", 12)) == []


def test_an_interruption_reaches_all(place: Path) -> None:
    recipe = edsr(train__total_iter=100_000, val={}, logger__save_checkpoint_freq=100_000)
    process = together(recipe)
    log = Path("experiments/tiny/log.jsonl")
    while not log.exists() and process.poll() is None:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(180) == 143, said()
    [state] = Path("experiments/tiny/training_states").glob("*.state")
    assert len(torch.load(state, weights_only=True)["mambair"]["random"]) == 2


def test_a_killed_launcher_takes_its_processes_along(place: Path) -> None:
    recipe = edsr(train__total_iter=100_000, val={}, logger__save_checkpoint_freq=100_000)
    process = together(recipe)
    log = Path("experiments/tiny/log.jsonl")
    while not log.exists() and process.poll() is None:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
    ranks = psutil.Process(process.pid).children()
    assert len(ranks) >= 2
    process.kill()
    process.wait()
    assert psutil.wait_procs(ranks, timeout=60)[1] == []
    assert len(list(Path("experiments/tiny/training_states").glob("*.state"))) == 1, said()


def test_a_signal_that_follows_that_of_another_process_is_its_echo() -> None:
    with deferred() as interruption:
        interruption.take(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert interruption.number == signal.SIGTERM


def test_the_cause_is_told_not_what_others_noticed(tmp_path: Path) -> None:
    noticed, cause, empty = (tmp_path / name for name in ("noticed", "cause", "empty"))
    noticed.write_text(f"Error: {team.GONE}, at iteration 3.\nHint: See what it said.\n")
    cause.write_text("a warning\nError: A sample cannot be loaded: Ä.\nHint: Check it.\n", encoding="utf-8")
    empty.touch()
    told = launch.explained({0: 1, 1: 1, 2: 1}, {1: noticed, 2: cause}, 3)
    assert isinstance(told, MambairError)
    assert (told.message, told.hint) == ("Process 2 of 3: A sample cannot be loaded: Ä.", "Check it.")
    killed = launch.explained({0: 1, 1: -signal.SIGKILL}, {1: empty}, 2)
    assert isinstance(killed, MambairError)
    assert "Process 1 of 2 was ended by SIGKILL" in killed.message
    first = launch.explained({0: 2, 1: -signal.SIGTERM}, {1: empty}, 2)
    assert isinstance(first, launch.Failed)  # it has spoken for itself
    assert first.exit_code == 2


def test_a_port_in_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MASTER_PORT", port)
        monkeypatch.setenv("MAMBAIR_LAUNCHER", "12345")
        watched: list[int] = []
        monkeypatch.setattr(team, "_end_with", watched.append)
        with pytest.raises(DeviceError, match=f"cannot reach the others at 127.0.0.1:{port}") as caught, joined():
            pass
    assert "Choose a free port" in caught.value.hint
    assert watched == [12345]  # not its parent of now, which another process is once the launcher has died


def joined() -> AbstractContextManager[None]:
    return team.joined(team.here())
