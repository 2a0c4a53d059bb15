"""Feed-forward halves of a MambaIRv2 layer; both mix neighbouring pixels with a depthwise convolution."""

from torch import Tensor, nn

from .convolution import DepthwiseConv2d
from .pointwise import apply_linear, norm_linear


class _DepthwiseConv(nn.Module):
    """Depthwise convolution and GELU, nested as in the published checkpoints."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise_conv = nn.Sequential(DepthwiseConv2d(channels, kernel_size, activation="gelu"))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.depthwise_conv(x)
        return out


class ConvFFN(nn.Module):
    """Perceptron with a residual depthwise convolution between its layers."""

    def __init__(self, dim: int, hidden: int, kernel_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = _DepthwiseConv(hidden, kernel_size)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """(batch, height, width, dim) to the same shape; ``norm`` comes first."""
        x = norm_linear(norm, self.fc1, x, "gelu")
        return apply_linear(self.fc2, x + self.dwconv(x))


class _SpatialGate(nn.Module):
    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = DepthwiseConv2d(channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = x.chunk(2, dim=-1)
        out: Tensor = x * self.conv(self.norm(gate))
        return out


class GatedMLP(nn.Module):
    """Perceptron whose hidden half is gated by the convolved other half; used by the light network."""

    def __init__(self, dim: int, hidden: int, kernel_size: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.sg = _SpatialGate(hidden // 2, kernel_size)
        self.fc2 = nn.Linear(hidden // 2, dim)

    def forward(self, x: Tensor, norm: nn.LayerNorm) -> Tensor:
        """(batch, height, width, dim) to the same shape; ``norm`` comes first."""
        return apply_linear(self.fc2, self.sg(norm_linear(norm, self.fc1, x, "gelu")))
