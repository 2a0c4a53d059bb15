"""Attentive state-space module of MambaIRv2 (arXiv 2411.15269): semantic sorting and a prompted scan."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .convolution import Conv2d, DepthwiseConv2d
from .pointwise import apply_linear, norm_linear
from .selective_scan import SelectiveScan2d, dt_rank


class ASSM(nn.Module):
    """One scan over the pixels sorted by semantic token, with a prompt per pixel added to C.

    Args:
        dim: channels in and out.
        hidden: channels of the scan.
        d_state: states per channel.
        num_tokens: size of the pool of prompts.
        inner_rank: rank of the pool.
        stochastic_routing: draw the token from the route's distribution (Gumbel), as published, instead of taking
            the most likely one; the output is then random.
    """

    def __init__(
        self, dim: int, hidden: int, d_state: int, num_tokens: int, inner_rank: int, stochastic_routing: bool
    ) -> None:
        super().__init__()
        self.stochastic_routing = stochastic_routing
        self.selectiveScan = SelectiveScan2d(hidden, d_state, dt_rank(hidden), directions=1)
        self.out_norm = nn.LayerNorm(hidden)
        self.out_proj = nn.Linear(hidden, dim)
        self.in_proj = nn.Sequential(Conv2d(dim, hidden, 1))
        self.CPE = nn.Sequential(DepthwiseConv2d(hidden, 3))
        self.embeddingB = nn.Embedding(num_tokens, inner_rank)
        self.route = nn.Sequential(nn.Linear(dim, dim // 3), nn.GELU(), nn.Linear(dim // 3, num_tokens))
        nn.init.uniform_(self.embeddingB.weight, -1 / num_tokens, 1 / num_tokens)

    def macs_per_pixel(self, inside: float) -> float:
        """The choice of a prompt out of the pool, beside the modules inside."""
        return inside + self.embeddingB.num_embeddings * self.selectiveScan.A_logs.shape[1]

    def _prompt(self, x: Tensor, pool: Tensor) -> tuple[Tensor, Tensor]:
        """Token of every pixel, (batch, length), and its prompt, (batch, length, d_state)."""
        first, last = cast(nn.Linear, self.route[0]), cast(nn.Linear, self.route[2])
        logits = apply_linear(last, apply_linear(first, x, "gelu")).flatten(1, 2)
        if self.stochastic_routing:
            choice = F.gumbel_softmax(F.log_softmax(logits, dim=-1), hard=True)
            return choice.argmax(-1), choice @ pool
        token = logits.max(-1).indices  # twice as fast as argmax on a CPU
        prompt = F.embedding(token, pool)
        if torch.is_grad_enabled():  # the value of the choice, the gradient of the probabilities
            soft = logits.softmax(-1)
            prompt = prompt + (soft - soft.detach()) @ pool
        return token, prompt

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(batch, height, width, dim) to the same shape; ``embedding`` (inner_rank, d_state) completes the pool."""
        token, prompt = self._prompt(x, self.embeddingB.weight @ embedding)
        order = token.argsort(dim=-1, stable=True)
        u = self.in_proj(x)
        u = u * self.CPE(u).sigmoid()
        # The published prompt stays in image order while the pixels are sorted; weights depend on it.
        y = self.selectiveScan.scan(u, order[:, None], prompt)
        return norm_linear(self.out_norm, self.out_proj, y)
