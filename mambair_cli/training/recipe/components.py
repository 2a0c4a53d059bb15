"""The parts that a recipe chooses by ``type`` and configures: one strict model per type, made from its signature."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_origin, get_type_hints

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, Strict, create_model
from pydantic_core import CoreSchema

from mambair_archs.config import options, text
from mambair_archs.registry import ARCHITECTURES, Architecture

from ..basicsr import signatures
from ..basicsr.signatures import REQUIRED, Signature
from ..losses import PSNRLoss

OPTIMIZERS = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "SGD", "ASGD", "Rprop")
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


class Section(BaseModel):
    """A mapping of a recipe: unknown keys and values of another type are mistakes."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True, protected_namespaces=()
    )


def whole(value: Any) -> Any:
    """A float without fraction as int, because recipes write ``!!float 5e3`` for counts; the rest as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Count = Annotated[int, BeforeValidator(whole), Field(ge=0)]
Positive = Annotated[int, BeforeValidator(whole), Field(ge=1)]
Numbers = Annotated[list[float], Field(min_length=1)]
Counts = Annotated[list[Count], Field(min_length=1)]


@dataclass(frozen=True)
class OneOf:
    """Annotation of a mapping that one of ``models`` describes, by its ``type``; any mapping if there are none."""

    models: tuple[type[Section], ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not self.models:
            return handler.generate_schema(dict[str, Any])
        some: Any = reduce(or_, self.models)
        return handler.generate_schema(Annotated[some, Field(discriminator="type")])


@dataclass(frozen=True)
class Names:
    """Annotation of a text that must be one of ``names``."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(Literal[self.names])


def model(name: str, options: Mapping[str, Any], doc: str = "", base: type[Section] = Section) -> type[Section]:
    """A model called ``name`` for ``type: name`` with these options (annotation and default, as create_model's)."""
    options = {**options, "type": (Literal[name], ...)}
    return create_model(name, __base__=base, __doc__=doc.strip().split("\n")[0] or None, **options)


def from_signature(signature: Signature, base: type[Section] = Section, **known: Any) -> type[Section]:
    """A model of what a constructor takes; types are those of its defaults, but for the ``known`` ones."""
    options = {
        name: (
            known.get(name, _kind(default)),
            Field(... if default is REQUIRED else _shown(default), description=about),
        )
        for name, default in signature.defaults.items()
        for about in [signature.describe(name) or None]
    }
    return model(signature.name, options, signature.doc, base)


def _kind(default: Any) -> Any:
    if isinstance(default, bool):
        return bool
    if isinstance(default, int | float):
        return float
    if isinstance(default, tuple | list):
        return Numbers if all(isinstance(item, int | float) for item in default) else list[Any]
    return str if isinstance(default, str) else Any


def _shown(default: Any) -> Any:
    if isinstance(default, tuple):
        return list(default)
    return default if isinstance(default, bool | int | float | str | list) else None


def _own_network(architecture: Architecture) -> type[Section]:
    return model(architecture.name, _own_options(architecture.config), architecture.network.__doc__ or "")


def _own_options(config: type[Any]) -> dict[str, Any]:
    """Annotations and defaults of a dataclass of options, those inside it included."""
    hints, known = get_type_hints(config), {}
    for name, option in options(config).items():
        hint, default = hints[name], Field(_shown(option.default), description=text(option))
        if isinstance(hint, type) and is_dataclass(hint):
            hint = create_model(hint.__name__, __base__=Section, __doc__=hint.__doc__, **_own_options(hint))
            default = Field(default_factory=hint, description=text(option))
        elif get_origin(hint) is tuple:  # YAML has lists
            hint = Annotated[hint, Strict(False), Field(min_length=1)]
        known[name] = (hint, default)
    return known


def networks() -> tuple[type[Section], ...]:
    """Ours, and BasicSR's."""
    own = [_own_network(architecture) for architecture in ARCHITECTURES]
    return (*own, *_basicsr("archs", without={architecture.name for architecture in ARCHITECTURES}))


def losses() -> tuple[type[Section], ...]:
    """BasicSR's, and ours; none without BasicSR, when it is not known which there are."""
    known = _basicsr("losses")
    return (*known, from_signature(signatures.of(PSNRLoss, PSNRLoss.__name__))) if known else ()


class Metric(Section):
    """What every metric of a validation may state."""

    better: Literal["higher", "lower"] = "higher"
    """Which value is the better one, for the record of the best checkpoint."""


def metrics() -> tuple[type[Section], ...]:
    """BasicSR's, without the two images that they compare."""
    known = signatures.registered("metrics") or {name: _metric(name) for name in ("calculate_psnr", "calculate_ssim")}
    return tuple(
        from_signature(
            Signature(name, {key: value for key, value in known[name].defaults.items() if key not in ("img", "img2")}),
            Metric,
            crop_border=Count,
        )
        for name in known
    )


def _metric(name: str) -> Signature:
    return Signature(name, {"crop_border": REQUIRED, "input_order": "HWC", "test_y_channel": False})


def optimizers() -> tuple[type[Section], ...]:
    """PyTorch's, where gradients alone decide the step."""
    found = [signatures.of(getattr(torch.optim, name), name, ("params",)) for name in OPTIMIZERS]
    for signature in found:
        signature.defaults["lr"] = REQUIRED  # BasicSR passes it by position
    return tuple(from_signature(signature, lr=Annotated[float, Field(gt=0)]) for signature in found)


def torch_schedulers() -> tuple[type[Section], ...]:
    """PyTorch's that need no function and no metric."""
    classes = {name: getattr(torch.optim.lr_scheduler, name) for name in SCHEDULERS}
    return tuple(from_signature(signatures.of(c, name, ("optimizer", "last_epoch"))) for name, c in classes.items())


def _basicsr(room: str, without: Iterable[str] = ()) -> list[type[Section]]:
    return [
        from_signature(signature, Free if not signature.defaults and signature.swallows else Section)
        for name, signature in signatures.registered(room).items()
        if name not in without
    ]


class Free(Section):
    """A part whose options are not known."""

    model_config = ConfigDict(extra="allow")
