"""How an image goes through a network when it is measured: whole, or in the parts of the published evaluation.

The published code cuts an image of more than 200 pixels into equal parts, restores each with some pixels around it, and
puts the middles side by side without blending. The parts change the result by hundredths of a decibel, because the
networks look at everything they are given.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Network = Callable[[Tensor], Tensor]

PROTOCOLS = ("whole", "paper")
LONGEST = 200


@dataclass(frozen=True)
class Part:
    """A stretch of an axis: what the network sees (start, stop) and what is kept of it (first, last)."""

    start: int
    stop: int
    first: int
    last: int


def parts(length: int) -> list[Part]:
    """The published partition of an axis: equal parts of at most 200 pixels, each with a tenth more to either side.

    The parts together are as long as the axis, padded until it can be divided evenly.
    """
    count = length // LONGEST + 1
    size = -(-length // count)
    shave = size // 10
    ends = [(number * size, (number + 1) * size) for number in range(count)]
    return [Part(max(a - shave, 0), min(b + shave, count * size), a, b) for a, b in ends]


def partitioned(network: Network, scale: int) -> Network:
    """A network that sees an image of any size (1, channels, height, width) in the published parts."""

    def run(image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        rows, columns = parts(height), parts(width)
        padding = (0, columns[-1].last - width, 0, rows[-1].last - height)
        padded = torch.nn.functional.pad(image, padding, "reflect")
        strips = [torch.cat([_kept(network, padded, row, column, scale) for column in columns], 3) for row in rows]
        return torch.cat(strips, 2)[:, :, : height * scale, : width * scale]

    return run


def _kept(network: Network, image: Tensor, row: Part, column: Part, scale: int) -> Tensor:
    result = network(image[:, :, row.start : row.stop, column.start : column.stop])
    down, right = (slice((part.first - part.start) * scale, (part.last - part.start) * scale) for part in (row, column))
    return result[:, :, down, right]
