"""``--steady``: less of what comes and goes, nothing of what only moves, and no ghosts."""

from typing import Any

import cv2
import numpy as np

from mambair_cli.restoration.steady import steadied

STEP, SIZE, SMALL = (4, 8), (128, 192), (64, 96)


def scene(seed: int) -> Any:
    """Coarse and fine structure."""
    rng = np.random.default_rng(seed)
    large = np.zeros((200, 300, 3), np.float32)
    for cell, contrast in ((40, 60), (12, 40), (5, 16)):
        noise = rng.normal(0, contrast, (200 // cell, 300 // cell, 3)).astype(np.float32)
        large += cv2.resize(noise, (300, 200), interpolation=cv2.INTER_CUBIC)
    return (large + 128).clip(0, 255)


def passing(seed: int, count: int = 3) -> list[Any]:
    """Frames of a scene that moves by ``STEP`` pixels at a time."""
    large = scene(seed)
    return [large[STEP[0] * k :, STEP[1] * k :][: SIZE[0], : SIZE[1]].round().astype(np.uint8) for k in range(count)]


def flickering(frames: list[Any]) -> list[Any]:
    """Each with errors of its own."""
    rng = np.random.default_rng(9)
    return [np.clip(frame + rng.normal(0, 5, frame.shape), 0, 255).astype(np.uint8) for frame in frames]


def psnr(a: Any, b: Any) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def warped(frames: list[Any]) -> float:
    """Mean difference of two frames where they show the same, by the motion that is known."""
    y, x = STEP
    return float(np.abs(frames[1][:-y, :-x].astype(float) - frames[0][y:, x:]).mean())


def test_flicker_of_what_moves_falls_and_frames_come_nearer_to_the_truth() -> None:
    truth = passing(1, 4)
    frames = flickering(truth)
    steady = [steadied(frames[k], [frames[k - 1], frames[k + 1]], SMALL) for k in (1, 2)]
    assert warped(steady) < 0.7 * warped(frames[1:3])
    for k, found in zip((1, 2), steady, strict=True):
        assert psnr(truth[k], found) > psnr(truth[k], frames[k]) + 2


def test_a_cut_stays_a_cut() -> None:
    before, after = passing(2)[0], passing(3)[0]
    assert np.abs(after.astype(float) - steadied(after, [before], SMALL)).mean() < 0.1


def test_what_stands_still_and_is_equal_stays_to_the_bit() -> None:
    frame = passing(4)[0]
    assert np.array_equal(steadied(frame, [frame, frame], SMALL), frame)


def test_16_bits_are_blended_as_8_are() -> None:
    first, second = flickering(passing(5, 2))
    found = steadied(first.astype(np.uint16) * 257, [second.astype(np.uint16) * 257], SMALL)
    assert found.dtype == np.uint16
    assert abs(found / 257 - steadied(first, [second], SMALL)).max() < 1.5


def test_alone_or_tiny_it_stays() -> None:
    frame = passing(6)[0]
    assert steadied(frame, [], SMALL) is frame
    assert steadied(frame[:16, :16], [frame[:16, :16]], (8, 8)).shape == (16, 16, 3)
