"""The first pictures of a validation, as a person would compare them: input, result, truth."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .trackers import Picture

SIDE = 384
"""Most pixels of a side that are shown; larger pictures show their middle."""


@contextmanager
def seen(model: Any, count: int) -> Iterator[dict[str, Picture]]:
    """While a model validates, keep its first ``count`` pictures by the names of their files.

    Every model of BasicSR hands each result over by ``get_current_visuals``.
    """
    pictures: dict[str, Picture] = {}
    if not count:
        yield pictures
        return
    original, feed = model.get_current_visuals, model.feed_data
    names: list[str] = []

    def feed_data(data: Any, *others: Any, **more: Any) -> None:
        paths = data.get("lq_path") or data.get("gt_path") or [str(len(names))]
        names.append(Path(paths[0] if isinstance(paths, list | tuple) else str(paths)).stem)
        feed(data, *others, **more)

    def get_current_visuals() -> Any:
        visuals = original()
        if names and len(pictures) < count:
            pictures[names[-1]] = side_by_side([visuals[key] for key in ("lq", "result", "gt") if key in visuals])
        return visuals

    model.get_current_visuals, model.feed_data = get_current_visuals, feed_data
    try:
        yield pictures
    finally:
        del model.get_current_visuals, model.feed_data


def side_by_side(tensors: list[Tensor]) -> Picture:
    """Images of values in [0, 1], (channels, height, width) or a batch of one, all in the size of the largest."""
    images = [tensor.detach().float().cpu().reshape(1, *tensor.shape[-3:]) for tensor in tensors]
    height, width = (max(image.shape[axis] for image in images) for axis in (2, 3))
    top, left = max(height - SIDE, 0) // 2, max(width - SIDE, 0) // 2
    row = []
    for image in images:
        large = functional.interpolate(image, (height, width), mode="nearest")[0]
        row.append(large[:, top : top + SIDE, left : left + SIDE].expand(3, -1, -1))
    pixels: Picture = (torch.cat(row, 2).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return pixels
