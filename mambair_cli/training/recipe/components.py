"""The parts that a recipe chooses by ``type`` and configures: one strict model per type, made from its signature."""

from collections.abc import Iterable
from dataclasses import is_dataclass, replace
from typing import Any, Literal, get_type_hints

import torch
from pydantic import Field, create_model

from mambair_archs.config import options, text
from mambair_archs.registry import ARCHITECTURES, Architecture

from ... import signatures
from ...data.datasets import DATASETS
from ...data.degradations import KINDS
from ...declaration import UNWRITTEN, Above0, Count, Free, Part, Section, from_signature, listing, model, plain
from ...signatures import REQUIRED, Signature
from ..basicsr.signatures import registered
from ..losses import LOSSES, METRICS
from ..optimizers import OWN, Betas

TORCH = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "SGD", "ASGD", "Rprop")
OPTIMIZERS = (*TORCH, *OWN)
SCHEDULERS = (
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LinearLR",
    "OneCycleLR",
    "PolynomialLR",
    "StepLR",
)


def _own_network(architecture: Architecture) -> type[Section]:
    return model(architecture.name, _own_options(architecture.config), architecture.network.__doc__ or "", Part)


def _own_options(config: type[Any]) -> dict[str, Any]:
    """Annotations and defaults of a dataclass of options, those inside it included."""
    hints, known = get_type_hints(config), {}
    for name, option in options(config).items():
        hint, default = hints[name], Field(plain(option.default), description=text(option))
        if isinstance(hint, type) and is_dataclass(hint):
            inner = _own_options(hint)
            hint = create_model(
                hint.__name__, __base__=Section, __doc__=hint.__doc__, __cls_kwargs__=UNWRITTEN, **inner
            )
            default = Field(default_factory=hint, description=text(option))
        known[name] = (listing(hint), default)
    return known


def networks() -> tuple[type[Section], ...]:
    """Ours, and BasicSR's."""
    own = [_own_network(architecture) for architecture in ARCHITECTURES]
    return (*own, *_basicsr("archs", without={architecture.name for architecture in ARCHITECTURES}))


def losses() -> tuple[type[Section], ...]:
    """BasicSR's, and ours; none without BasicSR, when it is not known which there are."""
    known = _basicsr("losses")
    own = [from_signature(signatures.of(kind, name, hinted=True)) for name, kind in LOSSES.items()]
    return (*known, *own) if known else ()


class Metric(Part):
    """What every metric of a validation may state."""

    better: Literal["higher", "lower"] = "higher"
    """Which value is the better one, for the record of the best checkpoint."""


def metrics() -> tuple[type[Section], ...]:
    """BasicSR's and ours, without the two images that they compare."""
    known = registered("metrics") or {name: _metric(name) for name in ("calculate_psnr", "calculate_ssim")}
    own = [signatures.of(function, name, hinted=True) for name, function in METRICS.items()]
    return tuple(
        from_signature(replace(each, defaults=_without_images(each)), Metric, crop_border=Count)
        for each in (*known.values(), *own)
    )


def _without_images(metric: Signature) -> dict[str, Any]:
    return {key: value for key, value in metric.defaults.items() if key not in ("img", "img2")}


def _metric(name: str) -> Signature:
    return Signature(name, {"crop_border": REQUIRED, "input_order": "HWC", "test_y_channel": False})


def optimizers() -> tuple[type[Section], ...]:
    """PyTorch's, where gradients alone decide the step, and ours."""
    found = [signatures.of(getattr(torch.optim, name), name, ("params",)) for name in TORCH]
    for signature in found:
        signature.defaults["lr"] = REQUIRED  # BasicSR passes it by position
    own = [from_signature(signatures.of(make, name, ("params", "hidden"), hinted=True)) for name, make in OWN.items()]
    return (*(from_signature(signature, lr=Above0, betas=Betas) for signature in found), *own)


def torch_schedulers() -> tuple[type[Section], ...]:
    """PyTorch's that need no function and no metric."""
    classes = {name: getattr(torch.optim.lr_scheduler, name) for name in SCHEDULERS}
    return tuple(from_signature(signatures.of(c, name, ("optimizer", "last_epoch"))) for name, c in classes.items())


def _basicsr(room: str, without: Iterable[str] = ()) -> list[type[Section]]:
    return [
        from_signature(signature, Free if not signature.defaults and signature.swallows else Part)
        for name, signature in registered(room).items()
        if name not in without
    ]


def count() -> int:
    """How many parts there are; it grows when a plugin adds some."""
    return sum(map(len, (ARCHITECTURES, DATASETS, KINDS, LOSSES, METRICS)))
