"""The Mamba block (arXiv 2312.00752, figure 3) on token sequences, and Vim's bidirectional form of it."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_kernels import scan_2d
from mambair_kernels.paths import RASTER

from .pointwise import apply_linear
from .selective_scan import dt_rank, initial_A_log, initial_dt_bias


class CausalConv1d(nn.Conv1d):
    """Depthwise convolution with SiLU whose output sees its own token and those before it."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, groups=channels)

    def forward(self, input: Tensor) -> Tensor:
        """(batch, length, channels) to the same shape."""
        past = self.kernel_size[0] - 1
        rows = F.pad(input, (0, 0, past, 0)).mT[:, :, None]  # channels-last memory: the fast path of convolutions
        y = F.conv2d(rows, self.weight[:, :, None], self.bias, groups=self.groups)
        return F.silu(y[:, :, 0].mT)


class Weights(NamedTuple):
    """What one direction of a Mamba block owns."""

    conv1d: CausalConv1d
    x_proj: nn.Linear
    dt_proj: nn.Linear
    A_log: Tensor
    D: Tensor

    def scan(self, x: Tensor) -> Tensor:
        """Convolve and scan tokens (batch, length, d_inner)."""
        projections = self.x_proj.weight[None], self.dt_proj.weight[None], self.dt_proj.bias[None]
        return scan_2d(self.conv1d(x)[:, None], *projections, self.A_log, self.D, (RASTER,))[:, 0]

    def step(self, x: Tensor, window: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One token (batch, d_inner); see :meth:`Mamba.step`."""
        window = torch.cat([window[:, 1:], x[:, None]], dim=1)
        x = (window.mT * self.conv1d.weight[:, 0]).sum(-1)
        x = F.silu(x if self.conv1d.bias is None else x + self.conv1d.bias)
        d_state = self.A_log.shape[1]
        dt, B, C = self.x_proj(x).split([self.dt_proj.in_features, d_state, d_state], dim=-1)
        dt = F.softplus(self.dt_proj(dt))[..., None]
        state = torch.exp(-dt * self.A_log.exp()) * state + dt * B[:, None] * x[..., None]
        return (state * C[:, None]).sum(-1) + self.D * x, window, state


class Directions(nn.Module):
    """Projections in and out of ``d_inner`` channels, and the weights of directions that are called by a suffix.

    Parameter names are those of the published checkpoints: ``conv1d``, ``conv1d_b`` or ``conv1d_0``, and alike.
    """

    def __init__(self, d_model: int, d_state: int, d_conv: int, expand: int, suffixes: tuple[str, ...]) -> None:
        super().__init__()
        self.d_inner = d_inner = expand * d_model
        rank = dt_rank(d_model)
        self.suffixes = suffixes
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        for suffix in suffixes:
            dt_proj = nn.Linear(rank, d_inner)
            nn.init.uniform_(dt_proj.weight, -(rank**-0.5), rank**-0.5)
            dt_proj.bias = nn.Parameter(initial_dt_bias(d_inner))
            setattr(self, f"conv1d{suffix}", CausalConv1d(d_inner, d_conv))
            setattr(self, f"x_proj{suffix}", nn.Linear(d_inner, rank + 2 * d_state, bias=False))
            setattr(self, f"dt_proj{suffix}", dt_proj)
            setattr(self, self._A_log(suffix), nn.Parameter(initial_A_log(d_inner, d_state)))
            setattr(self, f"D{suffix}", nn.Parameter(torch.ones(d_inner)))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)

    def _A_log(self, suffix: str) -> str:
        return "A_b_log" if suffix == "_b" else f"A_log{suffix}"

    def weights(self, suffix: str) -> Weights:
        """Those of the direction called ``suffix``."""
        names = (f"conv1d{suffix}", f"x_proj{suffix}", f"dt_proj{suffix}", self._A_log(suffix), f"D{suffix}")
        return Weights._make(getattr(self, name) for name in names)

    def macs_per_pixel(self, inside: float) -> float:
        """9 * state + 1 per channel and direction (state-spaces/mamba issue 110)."""
        return inside + sum(9 * weights.A_log.numel() + len(weights.D) for weights in map(self.weights, self.suffixes))

    def macs_per_token(self) -> float:
        """Multiply-accumulates per token, the layers inside included."""
        layers = (layer for layer in self.modules() if isinstance(layer, nn.Linear | nn.Conv1d))
        return self.macs_per_pixel(sum(layer.weight.numel() for layer in layers))


class Mamba(Directions):
    """The Mamba block: gated, with a causal convolution and a selective scan.

    Args:
        d_model: channels in and out.
        d_state: states per channel.
        d_conv: taps of the convolution.
        expand: channels of the scan over ``d_model``.
    """

    def __init__(self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__(d_model, d_state, d_conv, expand, ("",))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) to the same shape."""
        u, gate = apply_linear(self.in_proj, x).chunk(2, dim=-1)
        return apply_linear(self.out_proj, self.weights("").scan(u) * F.silu(gate))

    def start(self, batch: int) -> tuple[Tensor, Tensor]:
        """What :meth:`step` remembers before the first token: inputs of the convolution, and the state."""
        weights = self.weights("")
        taps = weights.conv1d.kernel_size[0]
        zeros = weights.D.new_zeros
        return zeros(batch, taps, self.d_inner), zeros(batch, *weights.A_log.shape)

    def step(self, x: Tensor, window: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One token (batch, d_model), with what to remember for the next one, as the recurrence gives it.

        Feeding a sequence token by token equals :meth:`forward` of the whole.
        """
        u, gate = self.in_proj(x).chunk(2, dim=-1)
        y, window, state = self.weights("").step(u, window, state)
        return self.out_proj(y * F.silu(gate)), window, state


class BidirectionalMamba(Directions):
    """Vim's mixer (arXiv 2401.09417, ``bimamba_type`` v2): two directions that share both projections.

    Args:
        d_model: channels in and out.
        d_state: states per channel.
        d_conv: taps of the convolutions.
        expand: channels of the scans over ``d_model``.
        halve: take the mean of both directions instead of their sum (``if_divide_out``).
        layer_scale: first value of a learned factor per output channel, or None for none.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        halve: bool = True,
        layer_scale: float | None = None,
    ) -> None:
        super().__init__(d_model, d_state, d_conv, expand, ("", "_b"))
        self.halve = halve
        self.gamma = None if layer_scale is None else nn.Parameter(torch.full((d_model,), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) to the same shape."""
        u, gate = apply_linear(self.in_proj, x).chunk(2, dim=-1)
        y = self.weights("").scan(u) + self.weights("_b").scan(u.flip(1)).flip(1)
        y = y * F.silu(gate)  # both directions have the same gate, which turns with its tokens
        y = apply_linear(self.out_proj, y / 2 if self.halve else y)
        return y if self.gamma is None else y * self.gamma
