"""The only way to BasicSR: mends what stops it on a current machine, then adds our networks, datasets and models."""

import sys
import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any

from torch import nn

from ...errors import MambairError, UsageError

INSTALL = "pip install --no-build-isolation --no-deps basicsr==1.4.2"


@cache
def load() -> None:
    """Import BasicSR and register what we add; later calls do nothing.

    Raises:
        MambairError: it is not installed, or something that it needs is not.
    """
    from . import before_import

    if find_spec("basicsr") is None:
        raise _absent()
    try:
        before_import.apply()
        with warnings.catch_warnings(action="ignore"):  # about spellings of 2022 that still work
            import basicsr  # noqa: F401
    except ImportError as error:
        raise MambairError(
            f"BasicSR cannot be imported: {error}.", 'Run pip install "mambair[train]", then try again.'
        ) from error
    from . import after_import

    after_import.apply()
    register()


def _absent() -> MambairError:
    if sys.version_info >= (3, 13):
        version = ".".join(map(str, sys.version_info[:2]))
        return MambairError(
            f"Training needs BasicSR 1.4.2, which cannot be built on Python {version}: its setup.py reads a variable "
            "back from exec(), which Python 3.13 ended.",
            f'Use Python 3.11 or 3.12 and run pip install "mambair[train]" setuptools && {INSTALL}.',
        )
    return MambairError(
        "Training needs BasicSR, which is not installed.",
        f'Run pip install "mambair[train]" setuptools && {INSTALL}.',
    )


def register() -> None:
    """Have BasicSR know our parts, and those that plugins added since.

    Raises:
        UsageError: BasicSR has another part of the same name.
    """
    from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY

    from mambair_archs import ARCHITECTURES

    from ...data.datasets import DATASETS
    from ..losses import LOSSES, METRICS
    from . import models  # noqa: F401  registers itself

    rooms = (
        (ARCH_REGISTRY, {architecture.name: architecture.network for architecture in ARCHITECTURES}),
        (DATASET_REGISTRY, DATASETS),
        (LOSS_REGISTRY, LOSSES),
        (METRIC_REGISTRY, METRICS),
    )
    for registry, parts in rooms:
        for name, part in parts.items():
            if name not in registry:
                registry.register(part)
            elif registry.get(name) is not part:
                raise UsageError(f"BasicSR has a part called {name} already.", "Give that of the plugin another name.")


def build_dataset(options: dict[str, Any]) -> Any:
    """The dataset that ``options["type"]`` names."""
    load()
    register()
    from basicsr.data import build_dataset as build

    return build(options)


def build_model(options: dict[str, Any]) -> Any:
    """The model that ``options["model_type"]`` names: networks, losses, optimisers and schedulers.

    Raises:
        MambairError: a network computes with what is not installed.
    """
    load()
    register()
    from basicsr.models import build_model as build

    from . import compiled

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.meshgrid")  # of SwinIR, a spelling of 2022 that still works
        model = build(options)
    for part in vars(model).values():
        if isinstance(part, nn.Module):
            compiled.check(part)
    return model
