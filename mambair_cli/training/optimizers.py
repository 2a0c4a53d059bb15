"""Optimisers beyond torch's usual classes; signature and docstring of each declare its options."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..declaration import Above0, Positive, Probability
from ..errors import MambairError

Parameters = Iterable[nn.Parameter]
Betas = tuple[Probability, Probability]

SCHEDULE_FREE = "AdamWScheduleFree"


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal (torch.optim.Muon) for hidden layers, AdamW for all the rest.

    See Jordan et al., Muon: an optimizer for hidden layers in neural networks, 2024, and for ``match_rms_adamw`` Liu et
    al., Muon is scalable for LLM training, arXiv 2502.16982.

    Args:
        params: all that is trained.
        hidden: those of them that are weights of hidden layers, see :func:`hidden_weights`.
        lr: learning rate of the matrices of hidden layers.
        adamw_lr: learning rate of all other parameters.
        weight_decay: decoupled decay of all weights.
        momentum: of the gradients of matrices.
        nesterov: whether that momentum looks ahead.
        ns_steps: Newton-Schulz iterations that make an update orthogonal.
        adjust_lr_fn: how the size of a matrix changes its rate; with match_rms_adamw its steps are as long as AdamW's.
        adamw_betas: decay of AdamW's two averages.

    Raises:
        ValueError: torch refuses an option.
    """

    def __init__(
        self,
        params: Parameters,
        hidden: Iterable[Tensor],
        lr: Above0,
        adamw_lr: Above0,
        weight_decay: float = 0.0,
        momentum: Probability = 0.95,
        nesterov: bool = True,
        ns_steps: Positive = 5,
        adjust_lr_fn: Literal["original", "match_rms_adamw"] = "match_rms_adamw",
        adamw_betas: Betas = (0.9, 0.999),
    ) -> None:
        known = {id(parameter) for parameter in hidden}
        parts: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        for parameter in params:
            parts[id(parameter) not in known].append(parameter)
        stand_in = [nn.Parameter(torch.zeros(1, 1))]
        self._muon = torch.optim.Muon(
            stand_in,
            lr,
            weight_decay,
            momentum,
            nesterov,
            ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn,
        )
        self._adamw = torch.optim.AdamW(stand_in, adamw_lr, (adamw_betas[0], adamw_betas[1]), weight_decay=weight_decay)
        inner = (self._muon, self._adamw)
        super().__init__([{**one.defaults, "params": part} for one, part in zip(inner, parts, strict=True)], {})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both, with the settings of ``param_groups`` and the memory in ``state``."""
        loss = closure() if closure else None
        matrices, rest = self.param_groups
        views = {parameter: _matrix(parameter) for parameter in matrices["params"] if parameter.grad is not None}
        self._muon.param_groups = [{**matrices, "params": list(views.values())}]
        self._muon.state = defaultdict(dict, {view: self.state[one] for one, view in views.items()})
        self._muon.step()
        self._adamw.param_groups, self._adamw.state = [rest], self.state
        self._adamw.step()
        return loss


def _matrix(parameter: nn.Parameter) -> nn.Parameter:
    """The same memory as a matrix (outputs, inputs times kernel), with its gradient."""
    assert parameter.grad is not None
    matrix = nn.Parameter(parameter.detach().view(len(parameter), -1))
    matrix.grad = parameter.grad.reshape(matrix.shape)
    return matrix


def hidden_weights(network: nn.Module) -> Iterator[Tensor]:
    """Weights of linear layers and convolutions, without the first and the last of all and those over single channels.

    A depthwise convolution maps no features to others, so its rows have no business being orthogonal.
    """
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    yield from (layer.weight for layer in layers[1:-1] if getattr(layer, "groups", 1) == 1)


def adamw_8bit(
    params: Parameters,
    lr: Above0,
    betas: Betas = (0.9, 0.999),
    eps: Above0 = 1e-8,
    weight_decay: float = 0.01,
    min_8bit_size: Positive = 4096,
) -> torch.optim.Optimizer:
    """AdamW that keeps its averages in 8 bits, a quarter of the memory; needs pip install 'mambair[bitsandbytes]'.

    Args:
        params: all that is trained.
        lr: learning rate.
        betas: decay of its two averages.
        eps: keeps the denominator from 0.
        weight_decay: decoupled decay of weights.
        min_8bit_size: parameters with fewer values keep their averages in 32 bits.

    Raises:
        MambairError: bitsandbytes is not installed.
    """
    kind = _needed("bitsandbytes.optim", "AdamW8bit")
    made: torch.optim.Optimizer = kind(params, lr, tuple(betas), eps, weight_decay, min_8bit_size=min_8bit_size)
    return made


def adamw_schedule_free(
    params: Parameters,
    lr: Above0,
    betas: Betas = (0.9, 0.999),
    eps: Above0 = 1e-8,
    weight_decay: float = 0.0,
    warmup_steps: Positive | None = None,
) -> torch.optim.Optimizer:
    """AdamW that averages its weights in place of a scheduler; needs pip install 'mambair[schedulefree]'.

    The average is what validations see and checkpoints hold as params_ema (Defazio et al., arXiv 2405.15682).

    Args:
        params: all that is trained.
        lr: learning rate, which stays.
        betas: share of the average in the weights that gradients are taken at, and decay of squared gradients.
        eps: keeps the denominator from 0.
        weight_decay: decoupled decay of weights.
        warmup_steps: over which the learning rate rises from 0; empty for none.

    Raises:
        MambairError: schedulefree is not installed.
    """
    kind = _needed("schedulefree", "AdamWScheduleFree")
    made: Any = kind(params, lr, tuple(betas), eps, weight_decay, warmup_steps or 0)
    made.train()
    optimizer: torch.optim.Optimizer = made
    return optimizer


@contextmanager
def averaged(optimizer: Any) -> Iterator[None]:
    """While a schedule-free optimiser's parameters hold their average; afterwards they are to the bit what they were.

    The package's own way back interpolates; its rounding would make training depend on how often it is watched.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    before = [parameter.detach().clone() for parameter in parameters]
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)


def _needed(module: str, name: str) -> Callable[..., Any]:
    package = module.partition(".")[0]
    try:
        kind: Callable[..., Any] = getattr(import_module(module), name)
    except ImportError as error:
        raise MambairError(
            f"The optimiser {name} needs what is not installed: {error}.", f"Run pip install 'mambair[{package}]'."
        ) from error
    return kind


OWN: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Muon": Muon,
    "AdamW8bit": adamw_8bit,
    SCHEDULE_FREE: adamw_schedule_free,
}
"""By the name in recipes."""


def build(kind: str, params: Parameters, hidden: Iterable[Tensor], **options: Any) -> torch.optim.Optimizer:
    """The optimiser that a recipe calls ``kind``.

    Args:
        kind: one of :data:`OWN`, or a class of ``torch.optim``.
        params: all that is trained.
        hidden: weights of hidden layers; Muon alone asks for them.
        options: as the recipe gives them.

    Raises:
        MambairError: its package is not installed.
        ValueError: an option is refused.
    """
    if kind == "Muon":
        return Muon(params, hidden, **options)
    make: Callable[..., torch.optim.Optimizer] = OWN.get(kind) or getattr(torch.optim, kind)
    return make(params, **options)
