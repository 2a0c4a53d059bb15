"""Which paths a scan follows, and what becomes of what it brings back from each."""

from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from mambair_kernels import CROSS_SCAN, Path, PathError, paths

from .. import setting
from ..config import InferenceError, StateDict, option

Merge = Literal["sum", "mean", "gated", "concat", "alternate"]


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Paths of the scans of a network, and how their results are merged."""

    paths: tuple[str, ...] = option(
        tuple(path.name for path in CROSS_SCAN),
        "Names of paths, such as raster, snake, hilbert, window_8, nss_4; any may end in _reversed or _transposed.",
    )
    merge: Merge = option(
        "sum",
        "sum, mean, gated (a learned weight for every path and channel), concat (each path scans its share of the "
        "channels) or alternate (one path per block, in turn).",
    )

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("scan has no paths")
        if self.merge not in get_args(Merge):
            raise ValueError(f"scan.merge is {self.merge!r}, expected one of {', '.join(get_args(Merge))}")
        for name in self.paths:
            try:
                paths.get(name)
            except PathError as error:
                raise ValueError(f"scan: {error}") from error

    @property
    def text(self) -> str:
        """The setting in one line."""
        return " ".join([self.merge, *self.paths])

    def of_block(self, number: int) -> tuple[tuple[Path, ...], Merge]:
        """Paths and merge of the block with that number, counted from 0 through the whole network."""
        found = tuple(paths.get(name) for name in self.paths)
        return ((found[number % len(found)],), "sum") if self.merge == "alternate" else (found, self.merge)

    def check(self, channels: int) -> None:
        """Refuse channels that cannot be shared out.

        Raises:
            ValueError: ``merge`` is ``concat`` and the channels are no multiple of the paths.
        """
        if self.merge == "concat" and channels % len(self.paths):
            raise ValueError(f"scan cannot share {channels} channels out equally over {len(self.paths)} paths")


CROSS = Scan()
"""The published setting."""


def remember(network: nn.Module, scan: Scan) -> None:
    """Let the weights of ``network`` tell its scan, unless it is the published one."""
    if scan != CROSS:
        setting.remember(network, scan.text)


def recalled(state_dict: StateDict) -> Scan:
    """The scan that weights tell, the published one if they tell none.

    Raises:
        InferenceError: they tell none that is known here.
    """
    text = setting.told(state_dict)
    if text is None:
        return CROSS
    merge, _, names = text.partition(" ")
    try:
        return Scan(paths=tuple(names.split()), merge=cast(Merge, merge))
    except ValueError as error:
        raise InferenceError(f"{setting.KEY}: {error}") from error


class PathGate(nn.Module):
    """MaIR's shuffle attention (arXiv 2412.20066): a weight between 0 and 1 for every path and channel.

    Each channel's means of what the paths bring are mixed across the paths.
    """

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        mix = nn.Conv2d(count * channels, count * channels, 1, groups=channels)
        self.gating = nn.Sequential(nn.Identity(), mix, nn.Sigmoid())
        self.channels, self.count = channels, count

    def macs_per_pixel(self, inside: float) -> float:
        """Pooling and weighting; the mixing works once per image."""
        return 2 * self.count * self.channels

    def forward(self, results: list[Tensor]) -> Tensor:
        """Weighted sum of one (batch, height, width, channels) per path."""
        means = torch.stack([result.mean((1, 2)) for result in results], -1)  # (batch, channels, paths)
        gates = self.gating(means.flatten(1)[:, :, None, None]).view(-1, 1, 1, self.channels, self.count)
        total: Tensor = results[0] * gates[..., 0]
        for result, gate in zip(results[1:], gates.unbind(-1)[1:], strict=True):
            total = torch.addcmul(total, result, gate)
        return total
