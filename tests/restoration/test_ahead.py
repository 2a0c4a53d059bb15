"""Regions that are begun before the last one is finished come out in order, and the result does not change."""

import numpy as np
import pytest

from mambair_cli.restoration import ahead
from mambair_cli.restoration.engine import Settings, restore


@pytest.mark.parametrize("depth", [0, 1, 3, 9])
def test_order_and_depth(depth: int) -> None:
    events: list[tuple[str, int]] = []

    def begin(item: int) -> int:
        events.append(("begin", item))
        return item

    def finish(item: int) -> int:
        events.append(("finish", item))
        return -item

    assert list(ahead.in_order(range(5), begin, finish, depth)) == [0, -1, -2, -3, -4]
    begun = [sum(kind == "begin" for kind, _ in events[:k]) for k, (kind, _) in enumerate(events) if kind == "finish"]
    assert begun == [min(5, k + 1 + depth) for k in range(5)]


def test_pictures_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    settings = Settings(scale=2, channels=3, tile=24, overlap=4)

    def network(x):  # type: ignore[no-untyped-def]
        return (x * 0.9).repeat_interleave(2, -1).repeat_interleave(2, -2)

    expected = restore(pixels, network, settings)
    monkeypatch.setattr(ahead, "depth", lambda device: 1)
    assert np.array_equal(restore(pixels, network, settings), expected)
