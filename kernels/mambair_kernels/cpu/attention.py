"""Native form of window attention, for inference: with gradients, torch's own is used."""

import torch
from torch import Tensor

from ..layout import threads
from . import native
from .native import AttentionArguments, address


def attention(qkv: Tensor, bias: Tensor) -> Tensor:
    """See :func:`mambair_kernels.fused.window_attention`."""
    batch, rows, columns, tokens, _, heads, head_dim = qkv.shape
    qkv, bias = qkv.contiguous(), bias.contiguous()
    y = qkv.new_empty(batch, rows, columns, tokens, heads * head_dim)
    sizes = (batch, rows, columns, tokens, heads, head_dim, len(bias), threads(qkv.numel() * tokens))
    native.call("mambair_attention", AttentionArguments(*sizes, *map(address, (qkv, bias, y))))
    return y


attention_op = torch.library.custom_op("mambair::cpu_window_attention", attention, mutates_args=(), device_types="cpu")


@attention_op.register_fake
def _(qkv: Tensor, _: Tensor) -> Tensor:
    return qkv.new_empty(*qkv.shape[:4], qkv.shape[5] * qkv.shape[6])
