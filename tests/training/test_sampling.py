"""What a sample is does not depend on who draws it."""

import random
import signal
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from mambair_cli.training import randomness, sampling
from mambair_cli.training.sampling import Seeded, Stream, loader


class Numbers:
    """Samples that show what the global generators, or one's own, give."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return torch.tensor([index, random.random(), np.random.random(), torch.rand(()).item()], dtype=torch.float64)


class Drawn(Numbers):
    def draw(self, index: int, generator: np.random.Generator) -> Any:
        return torch.tensor([index, generator.random()], dtype=torch.float64)


def drawn(kind: type[Numbers], workers: int, start: int = 0, rank: int = 0, world: int = 1) -> list[torch.Tensor]:
    batch = 4 // world
    options = {"num_worker_per_gpu": workers, "pin_memory": False}
    return list(loader(kind(), options, Stream(15, batch, 7, start, 24, rank, world)))


@pytest.mark.parametrize("kind", [Numbers, Drawn])
def test_workers_processes_and_restarts_draw_the_same(kind: type[Numbers]) -> None:
    expected = drawn(kind, 0)
    assert len(expected) == 6
    torch.testing.assert_close(torch.stack(drawn(kind, 2)), torch.stack(expected), rtol=0, atol=0)
    torch.testing.assert_close(torch.stack(drawn(kind, 0, start=8)), torch.stack(expected[2:]), rtol=0, atol=0)
    shared = [torch.cat(parts) for parts in zip(drawn(kind, 0, 0, 0, 2), drawn(kind, 0, 0, 1, 2), strict=True)]
    torch.testing.assert_close(torch.stack(shared), torch.stack(expected), rtol=0, atol=0)


@pytest.mark.parametrize("kind", [Numbers, Drawn])
def test_no_draw_repeats(kind: type[Numbers]) -> None:
    values = torch.cat(drawn(kind, 0))[:, 1]
    assert len(values.unique()) == 24


def test_an_epoch_has_every_sample_once_and_the_next_another_order() -> None:
    keys = [key for batch in Stream(15, 4, 7, 0, 60) for key in batch]
    assert Counter(keys) == {(epoch, index): 1 for epoch in range(4) for index in range(15)}
    orders = {tuple(index for _, index in keys[start : start + 15]) for start in range(0, 60, 15)}
    assert len(orders) == 4
    assert [key for batch in Stream(15, 4, 8, 0, 60) for key in batch] != keys


def test_the_main_process_draws_what_it_would_have_drawn() -> None:
    randomness.seed(5)
    expected = random.random(), np.random.random(), torch.rand(2)
    randomness.seed(5)
    Seeded(Numbers(), 1)[0, 3]
    drawn(Drawn, 0)
    found = random.random(), np.random.random(), torch.rand(2)
    assert found[:2] == expected[:2]
    assert torch.equal(found[2], expected[2])


def test_a_failing_sample_leaves_the_generators_as_they_were() -> None:
    class Broken(Numbers):
        def __getitem__(self, index: int) -> Any:
            raise ValueError(index)

    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="3"):
        Seeded(Broken(), 1)[0, 3]
    assert torch.equal(torch.get_rng_state(), before)


def test_captured_states_survive_a_file(tmp_path: Any) -> None:
    randomness.seed(9)
    np.random.normal()  # leaves a second normal number waiting
    torch.save(randomness.capture(), tmp_path / "state")
    expected = random.random(), np.random.normal(), torch.rand(())
    randomness.seed(1)
    randomness.restore(torch.load(tmp_path / "state", weights_only=True))
    assert (random.random(), np.random.normal(), torch.rand(())) == expected


def test_workers_leave_interruptions_to_the_main_process(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    alarms: list[int] = []
    monkeypatch.setattr(signal, "alarm", alarms.append)
    try:
        sampling._start_worker(0)
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
    assert alarms == [sampling.GRACE]


def test_without_shuffling_epochs_follow_the_list() -> None:
    stream = Stream(5, 2, 7, 0, 8, shuffle=False)
    assert [key for batch in stream for key in batch] == [(0, k) for k in range(5)] + [(1, k) for k in range(3)]
