"""Native form of the gate of channel attention, without gradients."""

from torch import Tensor

from ..layout import check, dense
from . import native
from .native import GateArguments, address


def channel_gate(mean: Tensor, squeeze: Tensor, squeeze_bias: Tensor, excite: Tensor, excite_bias: Tensor) -> Tensor:
    """``sigmoid(linear(relu(linear(mean))))``; see :mod:`mambair_kernels.fused`.

    Raises:
        ValueError: shapes do not fit together.
    """
    batch, _, _, channels = mean.shape
    hidden = len(squeeze)
    check("mean", mean, batch, 1, 1, channels)
    check("squeeze", squeeze, hidden, channels)
    check("squeeze_bias", squeeze_bias, hidden)
    check("excite", excite, channels, hidden)
    check("excite_bias", excite_bias, channels)
    tensors = [dense(tensor) for tensor in (mean, squeeze, squeeze_bias, excite, excite_bias)]
    y = mean.new_empty(mean.shape)
    native.call("mambair_channel_gate", GateArguments(batch, channels, hidden, *map(address, tensors), address(y)))
    return y
