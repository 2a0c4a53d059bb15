"""The layers of MambaIR-light that are a kernel each on a card, as :mod:`benchmarks.gpu` measures them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mambair_kernels import fused

CHANNELS, INNER, HIDDEN, SQUEEZED = 60, 72, 30, 2


@dataclass(frozen=True)
class Layer:
    """A layer with its input; ``tensors`` and the result move through memory once."""

    name: str
    run: Callable[..., Tensor]
    tensors: tuple[Tensor, ...]
    columns: int

    def __call__(self) -> Tensor:
        """The result."""
        return self.run(*self.tensors)

    @property
    def moved(self) -> int:
        """Bytes that no program can do without."""
        x = self.tensors[0]
        return sum(each.nbytes for each in self.tensors) + x.nbytes // x.shape[-1] * self.columns


def layers(size: int, device: torch.device, dtype: torch.dtype) -> list[Layer]:
    """All of an image of ``size`` x ``size`` pixels whose features are of this type."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random).to(device)

    def image(channels: int, edge: int = size) -> Tensor:
        return draw(1, edge, edge, channels).to(dtype)

    x, inner, weight = image(CHANNELS), image(INNER), draw(2 * INNER, CHANNELS)
    narrow, wide, back = draw(CHANNELS), draw(INNER), draw(CHANNELS, INNER)
    excite = draw(SQUEEZED), draw(CHANNELS, SQUEEZED)
    return [
        Layer(
            "channel gate",
            fused.channel_gate,
            (image(CHANNELS, 1), draw(SQUEEZED, CHANNELS), *excite, narrow),
            CHANNELS,
        ),
        Layer("norm, linear", fused.norm_linear, (x, narrow, narrow, weight), 2 * INNER),
        Layer(
            "gate, norm, linear",
            fused.gated_norm_linear,
            (inner, image(INNER), wide, wide, back, x, narrow),
            CHANNELS,
        ),
        Layer(
            "depthwise, SiLU",
            lambda x, weight, bias: fused.depthwise_conv2d(x, weight, bias, 1, "silu"),
            (inner, draw(INNER, 1, 3, 3), wide),
            INNER,
        ),
        Layer("gated residual", fused.gated_residual, (x, narrow, image(CHANNELS), image(CHANNELS, 1)), CHANNELS),
    ]
