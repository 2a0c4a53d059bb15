"""VmambaIR's omni-selective scan (arXiv 2403.11423): four directions over the picture and two over its channels."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_kernels import selective_scan

from .convolution import Conv2d, DepthwiseConv2d
from .pointwise import norm_conv1x1
from .selective_scan import SelectiveScan2d, dt_rank, initial_A_log, initial_dt_bias

CHANNEL_STATES = 16

Variant = Literal["mamber32", "mamber33", "sisr6", "realsr11"]


@dataclass(frozen=True)
class ChannelForm:
    """The channel branch of one published form.

    Attributes:
        width: values per step of the sequence over channels.
        rank: of the projection to the step size, 0 for that of the module.
        lifted: whether 1x1 convolutions lead to that width and back.
        multiply: whether the branch also scales the features instead of being added alone.
    """

    width: int
    rank: int
    lifted: bool
    multiply: bool


FORMS: dict[Variant, ChannelForm] = {
    "mamber32": ChannelForm(4, 6, lifted=True, multiply=False),
    "mamber33": ChannelForm(2, 6, lifted=True, multiply=True),
    "sisr6": ChannelForm(4, 6, lifted=True, multiply=True),
    "realsr11": ChannelForm(1, 0, lifted=False, multiply=True),
}


class BodyNorm(nn.Module):
    """A layer norm over channels under the name ``body``, as Restormer's (arXiv 2111.09881) is stored."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(..., channels) to the same shape."""
        out: Tensor = self.body(x)
        return out


class OmniScan(SelectiveScan2d):
    """The module: gated, a depthwise convolution, SS2D, then a scan over the channels of its mean.

    The channel branch starts as in Mamba; the published one starts at random where it is lifted.
    """

    def __init__(self, dim: int, variant: Variant = "mamber32", d_state: int = 16) -> None:
        super().__init__(dim, d_state, dt_rank(dim), directions=4)
        self.form = form = FORMS[variant]
        rank = form.rank or dt_rank(dim)
        self.in_conv = Conv2d(dim, 2 * dim, 1)
        self.conv2d = DepthwiseConv2d(dim, 3, activation="silu")
        self.out_norm = BodyNorm(dim)
        if form.lifted:
            self.conv_cin = nn.Conv2d(1, form.width, 1)
            self.conv_cout = nn.Conv2d(form.width, 1, 1)
        bound = form.width**-0.5
        projection = torch.empty(2, rank + 2 * CHANNEL_STATES, form.width).uniform_(-bound, bound)
        self.xc_proj_weight = nn.Parameter(projection)
        self.dtc_projs_weight = nn.Parameter(torch.empty(2, form.width, rank).uniform_(-(rank**-0.5), rank**-0.5))
        self.dtc_projs_bias = nn.Parameter(initial_dt_bias(2, form.width))
        self.Ac_logs = nn.Parameter(initial_A_log(2 * form.width, CHANNEL_STATES))
        self.Dsc = nn.Parameter(torch.ones(2 * form.width))
        self.channel_norm = BodyNorm(dim)
        self.out_conv = Conv2d(dim, dim, 1)

    def forward(self, x: Tensor, norm: nn.LayerNorm | None = None) -> Tensor:
        """(batch, height, width, dim) to the same shape; ``norm`` comes first."""
        u, gate = (self.in_conv(x) if norm is None else norm_conv1x1(norm, self.in_conv, x)).chunk(2, dim=-1)
        y = self.out_norm(self.scan(self.conv2d(u))) * F.silu(gate)
        channels = self._scan_channels(y.mean((1, 2)))[:, None, None]
        y = y + (y * channels if self.form.multiply else channels)
        out: Tensor = self.out_conv(y)
        return out

    def _scan_channels(self, mean: Tensor) -> Tensor:
        """What the sequence of channels (batch, dim) gives, forwards and backwards."""
        steps = mean[:, None]
        if self.form.lifted:
            steps = self.conv_cin(steps[:, :, None])[:, :, 0]  # (batch, width, dim)
        steps = torch.stack([steps, steps.flip(-1)], dim=1)  # (batch, directions, width, dim)
        rank = self.dtc_projs_weight.shape[2]
        rows = torch.einsum("krm,bkml->bkrl", self.xc_proj_weight, steps)
        dt, B, C = rows.split([rank, CHANNEL_STATES, CHANNEL_STATES], dim=2)
        dt = torch.einsum("kmr,bkrl->bkml", self.dtc_projs_weight, dt).flatten(1, 2)
        bias = self.dtc_projs_bias.flatten()
        A = -self.Ac_logs.exp()
        y = selective_scan(steps.flatten(1, 2), dt, A, B, C, self.Dsc, bias, delta_softplus=True)
        forwards, backwards = y.chunk(2, dim=1)
        y = forwards + backwards.flip(-1)
        y = self.conv_cout(y[:, :, None])[:, 0, 0] if self.form.lifted else y[:, 0]
        out: Tensor = self.channel_norm(y)
        return out


class GatedFeedForward(nn.Module):
    """Restormer's feed-forward: two convolved halves, one through GELU, multiplied."""

    def __init__(self, dim: int, expansion: float, bias: bool) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.project_in = Conv2d(dim, 2 * hidden, 1, bias=bias)
        self.dwconv = DepthwiseConv2d(2 * hidden, 3, bias=bias)
        self.project_out = Conv2d(hidden, dim, 1, bias=bias)

    def forward(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """(batch, height, width, dim) to the same shape; ``norm`` comes first."""
        x, gate = self.dwconv(norm_conv1x1(norm, self.project_in, x)).chunk(2, dim=-1)
        out: Tensor = self.project_out(F.gelu(x) * gate)
        return out


class OmniBlock(nn.Module):
    """VmambaIR's block: omni-selective scan and gated feed-forward, each normed first and added."""

    def __init__(
        self, dim: int, variant: Variant, d_state: int = 16, expansion: float = 2.66, bias: bool = False
    ) -> None:
        super().__init__()
        self.norm1 = BodyNorm(dim)
        self.attn = OmniScan(dim, variant, d_state)
        self.norm2 = BodyNorm(dim)
        self.ffn = GatedFeedForward(dim, expansion, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape."""
        x = x + self.attn(x, self.norm1.body)
        out: Tensor = x + self.ffn(x, self.norm2.body)
        return out
