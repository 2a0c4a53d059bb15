"""The memory of a step is told before it is taken."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mambair_cli.restoration import memory
from mambair_cli.training import footprint

from .conftest import edsr, train


def test_what_two_convolutions_keep_is_counted_once() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
    weights = 4 * ((3 * 4 * 9 + 4) + (4 * 3 * 9 + 3))
    kept = 4 * 64 * 96 * (3 + 4)  # the input, and the rectified features that the second one takes
    assert footprint.of_step(network, torch.zeros(3, 64, 96), batch=2) == 2 * kept + 5 * weights


def test_a_step_that_will_not_fit_is_told_with_the_way_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a step will take" not in train(edsr(), "--dry-run").err
    monkeypatch.setattr(memory, "available", lambda device: 1000)
    said = train(edsr(), "--dry-run").err
    assert "a step will take at least 0.0 GiB, and 0.0 GiB are free" in said
    assert "network_g.use_checkpoint=true" in said
