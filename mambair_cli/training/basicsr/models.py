"""``MambaIRModel``: BasicSR's SRModel with mixed precision, accumulation, clipping, a guard and tiled validation.

Loaded by the bridge, which has made BasicSR importable.
"""

import fnmatch
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from typing import Any

import torch
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY
from torch import Tensor, nn

from mambair_archs import registry

from ...errors import NumericalError, UsageError
from ...restoration.engine import Settings, restore
from ...restoration.model import DEFAULT_OVERLAP
from .. import batches, optimizers
from ..recipe.components import SCHEDULERS

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
USUAL_TILE, USUAL_OVERLAP = 256, 32


@MODEL_REGISTRY.register()
class MambaIRModel(SRModel):  # type: ignore[misc]
    """One network, pixel and perceptual losses.

    What it takes beyond BasicSR's options is declared in :class:`..recipe.schema.OwnTrain`.

    Attributes:
        skipped: steps left out because their gradients were not finite: in a row, and in all.
    """

    lq: Tensor
    gt: Tensor

    def init_training_settings(self) -> None:
        """Losses, optimiser and schedulers as BasicSR's, then our own settings."""
        train = self.opt["train"]
        self._freeze(train.get("freeze") or ())
        self.averages = train["optim_g"]["type"] == optimizers.SCHEDULE_FREE
        super().init_training_settings()
        if self.averages:
            self.net_g_ema = deepcopy(self.get_bare_model(self.net_g)).eval()
        self.accumulate = train["accumulate"]
        self.max_norm = train.get("clip_grad_norm") or float("inf")
        self.max_skipped = train["nan_guard"]["max_skipped"]
        self.precision = PRECISIONS[train["precision"]]
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)
        self.skipped = [0, 0]
        if train["compile"]:
            self.get_bare_model(self.net_g).compile()

    def _freeze(self, patterns: Iterable[str]) -> None:
        named = dict(self.get_bare_model(self.net_g).named_parameters())
        for pattern in patterns:
            found = fnmatch.filter(named, pattern)
            if not found:
                raise UsageError(
                    f"train.freeze: no parameter of the network is called {pattern}.",
                    f"Give names or patterns, such as {next(iter(named))}.",
                )
            for name in found:
                named[name].requires_grad = False
        if not any(parameter.requires_grad for parameter in named.values()):
            raise UsageError("train.freeze leaves nothing to train.", "Name fewer parameters.")

    @property
    def scaler_state(self) -> dict[str, Any]:
        """What the scaling of the loss has come to; it goes into checkpoints."""
        state: dict[str, Any] = self.scaler.state_dict()
        return state

    @scaler_state.setter
    def scaler_state(self, state: dict[str, Any]) -> None:
        if state:
            self.scaler.load_state_dict(state)

    def get_optimizer(self, optim_type: str, params: Any, lr: float, **options: Any) -> torch.optim.Optimizer:
        """Any optimiser that recipes know, not Adam alone."""
        hidden = optimizers.hidden_weights(self.get_bare_model(self.net_g))
        return optimizers.build(optim_type, params, hidden, lr=lr, **options)

    def setup_schedulers(self) -> None:
        """BasicSR's two, and those of torch; none where the optimiser averages."""
        options = dict(self.opt["train"].get("scheduler") or {})
        if not options:
            return
        kind = options.pop("type")
        if kind not in SCHEDULERS:
            super().setup_schedulers()
            return
        scheduler = getattr(torch.optim.lr_scheduler, kind)
        self.schedulers = [scheduler(optimizer, **options) for optimizer in self.optimizers]

    def optimize_parameters(self, current_iter: int) -> None:
        """One step over the whole batch; left out if a gradient is not finite.

        Raises:
            NumericalError: too many steps in a row were left out.
        """
        self._prepare(current_iter)
        self.optimizer_g.zero_grad(set_to_none=True)
        self.log_dict = self.reduce_loss_dict(self._backward())
        self.scaler.unscale_(self.optimizer_g)
        # Equal in all processes, since their gradients are; so they agree whether to step.
        norm = nn.utils.clip_grad_norm_(self.net_g.parameters(), self.max_norm)
        self.log_dict["grad_norm"] = norm.item()
        if not torch.isfinite(norm):
            self.scaler.update()
            self._skip(current_iter)
            return
        self.skipped[0] = 0
        self.scaler.step(self.optimizer_g)
        self.scaler.update()
        if self.ema_decay > 0:
            self.model_ema(decay=self._decay(current_iter))

    def _prepare(self, current_iter: int) -> None:
        train = self.opt["train"]
        if stage := batches.stage(train.get("progressive") or (), current_iter):
            size = stage["batch"], stage["gt_size"], self.opt["scale"]
            self.lq, self.gt = batches.reduced(self.lq, self.gt, *size)
        if mixup := train.get("mixup"):
            self.lq, self.gt = batches.mixed(self.lq, self.gt, mixup["beta"], mixup["probability"])

    def _decay(self, step: int) -> float:
        """Of the averaged weights; warmed up, they do not remember the initial ones."""
        decay = float(self.ema_decay)
        return min(decay, (1 + step) / (10 + step)) if self.opt["train"]["ema_warmup"] else decay

    def _skip(self, current_iter: int) -> None:
        self.skipped = [count + 1 for count in self.skipped]
        if self.skipped[0] > self.max_skipped:
            raise NumericalError(
                f"The gradients were not finite in {self.skipped[0]} steps in a row, the last at iteration "
                f"{current_iter}.",
                "Lower train.optim_g.lr, set train.clip_grad_norm, or use train.precision=fp32; "
                "the last checkpoint is from before.",
            )

    def _backward(self) -> "OrderedDict[str, Tensor]":
        """Gradients of the mean loss over all parts; the mean of each loss."""
        total: OrderedDict[str, Tensor] = OrderedDict()
        for lq, gt, last in self._parts():
            wait = nullcontext() if last or not self.opt["dist"] else self.net_g.no_sync()
            with wait:
                losses = self._losses(lq, gt)
                mean = torch.stack(list(losses.values())).sum() / self.accumulate
                # Losses can be NaN with finite gradients (L1's are signs), and only gradients reach other processes.
                self.scaler.scale(mean * torch.where(mean.isfinite(), 1.0, torch.nan)).backward()
            for name, value in losses.items():
                total[name] = total.get(name, 0) + value.detach() / self.accumulate
        return total

    def _parts(self) -> Iterator[tuple[Tensor, Tensor, bool]]:
        count = self.accumulate
        parts = zip(self.lq.chunk(count), self.gt.chunk(count), strict=True)
        for number, (lq, gt) in enumerate(parts, start=1):
            yield lq, gt, number == count

    def _losses(self, lq: Tensor, gt: Tensor) -> "OrderedDict[str, Tensor]":
        with torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32):
            self.output = self.net_g(lq)
        output, losses = self.output.float(), OrderedDict()
        if self.cri_pix:
            losses["l_pix"] = self.cri_pix(output, gt)
        if self.cri_perceptual:
            for name, value in zip(("l_percep", "l_style"), self.cri_perceptual(output, gt), strict=True):
                if value is not None:
                    losses[name] = value
        return losses

    def _average(self) -> None:
        """Bring the averaged weights up to date where the optimiser keeps them."""
        if self.is_train and self.averages:
            with optimizers.averaged(self.optimizer_g):
                self.model_ema(0)

    def save(self, epoch: int, current_iter: int) -> None:
        """Weights, averaged ones beside them, and the training state."""
        self._average()
        super().save(epoch, current_iter)

    def validation(self, *arguments: Any, **options: Any) -> None:
        """BasicSR's, of the averaged weights where there are some."""
        self._average()
        super().validation(*arguments, **options)

    def test(self) -> None:
        """Restore ``lq`` (one image) tile by tile with the averaged weights, where there are some."""
        network = self.get_bare_model(getattr(self, "net_g_ema", self.net_g))
        training = network.training
        network.eval()
        pixels = self.lq[0].permute(1, 2, 0).contiguous().cpu().numpy()
        out = restore(pixels, network, tiling(network, self.opt["scale"], pixels.shape[2], self.device))
        self.output = torch.from_numpy(out).permute(2, 0, 1)[None]
        network.train(training)


@MODEL_REGISTRY.register()
class MambaIRv2Model(MambaIRModel):
    """The name in published recipes of MambaIRv2."""


@MODEL_REGISTRY.register()
class MambaIRv2LightModel(MambaIRModel):
    """The name in published recipes of MambaIRv2-light."""


def tiling(network: nn.Module, scale: int, channels: int, device: torch.device) -> Settings:
    """Tiles as the network's descriptor recommends them, so that validation takes bounded memory."""
    descriptor = registry.describe(network)
    return Settings(
        scale=scale,
        channels=channels,
        tile=descriptor.tile if descriptor else USUAL_TILE,
        overlap=DEFAULT_OVERLAP if descriptor else USUAL_OVERLAP,
        multiple=descriptor.size_multiple if descriptor else 1,
        device=device,
        global_view=descriptor.global_view if descriptor else 0,
    )
