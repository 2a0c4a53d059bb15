"""A run that was stopped, in whatever way, ends as one that was not."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from mambair_cli.training.basicsr import bridge

from .conftest import checkpoint, differences, edsr, mambair, rows, start, train

KILLED = str(Path(__file__).parent / "scripts/killed.py")


def straight(recipe: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], str]:
    assert train({**recipe, "name": "straight"}).code == 0
    return checkpoint("straight", 12)


@pytest.mark.parametrize(
    ("kill", "left"), [("step:8", 5), ("write:6", 5)], ids=["between steps", "while the second state is written"]
)
def test_kill_9_with_workers_averaging_and_accumulation(place: Path, kill: str, left: int) -> None:
    recipe = mambair()
    expected = straight(recipe)
    victim = start(recipe, KILLED, "train", "recipe.yml", KILL=kill)
    assert victim.wait(60) == -signal.SIGKILL
    assert [path.name for path in Path("experiments/tiny/training_states").glob("*.state")] == [f"{left}.state"]
    outcome = train(recipe)
    assert outcome.code == 0
    assert f"going on from iteration {left}" in outcome.err
    assert differences(expected, checkpoint("tiny", 12)) == []
    assert not list(place.rglob("*.part"))


def test_data_sets_that_draw_from_global_generators_resume_with_any_number_of_workers(place: Path) -> None:
    expected = straight(edsr())
    assert train(edsr(train__total_iter=7)).code == 0
    assert train(edsr(datasets__train__num_worker_per_gpu=2)).code == 0
    assert [row["iter"] for row in rows("tiny")] == [3, 4, 6, 7, 7, 8, 9, 12, 12]  # 7 was an end
    weights, state, _ = checkpoint("tiny", 12)
    assert differences(expected[0], weights) == []
    for part in ("optimizers", "schedulers"):
        assert differences(expected[1][part], state[part]) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interruption_saves_and_goes_on(place: Path, number: int, code: int) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("ignored here, as below nohup")
    recipe = edsr(train__total_iter=100_000, val={}, logger__save_checkpoint_freq=100_000)
    process = start(recipe, "-m", "mambair_cli", "train", "recipe.yml")
    log = Path("experiments/tiny/log.jsonl")
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == code
    said = Path("said.txt").read_text(encoding="utf-8")
    [state] = Path("experiments/tiny/training_states").glob("*.state")
    assert f"interrupted after iteration {state.stem};" in said
    outcome = train(recipe, f"train.total_iter={int(state.stem) + 2}")
    assert outcome.code == 0
    assert f"going on from iteration {state.stem}" in outcome.err


def test_basicsr_reads_our_state_and_we_read_its(place: Path) -> None:
    assert train(edsr(train__total_iter=5)).code == 0
    state = torch.load("experiments/tiny/training_states/5.state", weights_only=True)
    assert {"epoch", "iter", "optimizers", "schedulers"} <= state.keys()
    bridge.load()
    from basicsr.train import load_resume_state

    options = {**edsr(), "auto_resume": True, "path": {"models": "experiments/tiny/models"}}
    assert load_resume_state(options)["iter"] == 5
    assert options["path"]["pretrain_network_g"] == "experiments/tiny/models/net_g_5.pth"
    del state["mambair"]  # what is left is what BasicSR writes
    torch.save(state, "experiments/tiny/training_states/5.state")
    outcome = train(edsr())
    assert outcome.code == 0
    assert "going on from iteration 5" in outcome.err
    assert checkpoint("tiny", 12)[1]["mambair"]["samples"] == 48


def test_starting_over_moves_the_old_run_away(place: Path) -> None:
    assert train(edsr(train__total_iter=5)).code == 0
    assert train(edsr(train__total_iter=2), "--no-resume").code == 0
    assert [path.stem for path in Path("experiments/tiny/training_states").iterdir()] == ["2"]
    assert len(list(Path("experiments").glob("tiny_archived_*/training_states/5.state"))) == 1


def test_a_finished_run_is_not_trained_again(place: Path) -> None:
    assert train(edsr(train__total_iter=2)).code == 0
    before = Path("experiments/tiny/models/net_g_2.pth").stat().st_mtime_ns
    outcome = train(edsr(train__total_iter=2))
    assert (outcome.code, "is done" in outcome.err) == (0, True)
    assert Path("experiments/tiny/models/net_g_2.pth").stat().st_mtime_ns == before


def test_resume_wants_a_checkpoint(place: Path) -> None:
    outcome = train(edsr(), "--resume")
    assert outcome.code == 2
    assert "no checkpoint" in outcome.err


def test_a_checkpoint_of_another_network_is_refused(place: Path) -> None:
    assert train(edsr(train__total_iter=1)).code == 0
    outcome = train(edsr(network_g={**edsr()["network_g"], "num_feat": 6}))
    assert outcome.code == 1
    assert "not those of the recipe's network" in outcome.err
