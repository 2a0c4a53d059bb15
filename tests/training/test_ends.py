"""A training that ends before its time, and one that is only measured."""

import json
from pathlib import Path

from .conftest import edsr, rows, train


def test_a_training_that_gets_no_better_ends_and_stays_ended(place: Path) -> None:
    recipe = edsr(train__total_iter=40, train__optim_g={"type": "Adam", "lr": 1e-12}, train__ema_decay=0)
    recipe["val"] |= {"val_freq": 2, "patience": 3}
    recipe["val"]["metrics"]["psnr"]["better"] = "higher"
    outcome = train(recipe)
    assert outcome.code == 0, outcome.err
    best = 2
    assert "3 validations without a better psnr: ending early" in outcome.err
    last = rows("tiny")[-1]["iter"]
    assert best + 3 * 2 <= last < 40
    assert Path("experiments/tiny/models/net_g_latest.pth").is_file()
    assert Path(f"experiments/tiny/training_states/{last}.state").is_file()
    again = train(recipe)
    assert again.code == 0
    assert f"ended early before, after iteration {last}; val.patience=null goes on" in again.err
    assert rows("tiny")[-1]["iter"] == last


def test_a_profile_names_operators_and_writes_a_trace_alone(place: Path) -> None:
    outcome = train(edsr(), "--profile", "--json")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert any("conv" in operator["name"] for operator in record["operators"])
    assert json.loads(Path(record["trace"]).read_text())["traceEvents"]
    assert not Path("experiments").exists()
