"""What has to be in place before ``import basicsr`` (1.4.2 of 2022) can succeed; one function per defect."""

import re
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from . import torchvision_stub

_declared: list[Any] = []
"""Libraries of operators; torch forgets their operators when they are collected."""


def apply() -> None:
    """All of them, in order."""
    import_torchvision()
    give_functional_tensor()
    give_distutils()
    give_scipy_filters()


def import_torchvision() -> None:
    """Import torchvision if there is a way, else put a stand-in in its place.

    A wheel built for CUDA beside a torch without CUDA cannot load its library, and then stops at the first of its
    operators that has no schema. Declaring those is enough for all that is written in Python. Which ones they are
    depends on its version, so each failure names the next; a build that loads its library is left alone.
    """
    declared: set[str] = set()
    while True:
        try:
            import_module("torchvision")
            return
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            _forget("torchvision")
            if missing is None or missing[1] in declared:
                break
            declared.add(missing[1])
            _declare(missing[1])
        except (ImportError, OSError):
            _forget("torchvision")
            break
    torchvision_stub.install()


def _declare(operator: str) -> None:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


def _forget(package: str) -> None:
    """Half-imported modules make the next import fail in another way."""
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


def give_functional_tensor() -> None:
    """``torchvision.transforms.functional_tensor`` was removed in 0.17; BasicSR wants one function of it."""
    functional = import_module("torchvision.transforms.functional")
    _offer("torchvision.transforms.functional_tensor", rgb_to_grayscale=functional.rgb_to_grayscale)


def give_distutils() -> None:
    """``distutils`` left Python in 3.12, and setuptools, which brings one, need not be installed."""
    try:
        import_module("distutils.version")
    except ImportError:
        from torch.torch_version import TorchVersion

        _offer("distutils")
        _offer("distutils.version", LooseVersion=TorchVersion)


def give_scipy_filters() -> None:
    """``scipy.ndimage.filters`` warns today and is gone in SciPy 2; its functions are those of ``scipy.ndimage``."""
    ndimage = import_module("scipy.ndimage")
    sys.modules.pop("scipy.ndimage.filters", None)  # the one that warns
    _offer("scipy.ndimage.filters", **{name: getattr(ndimage, name) for name in ndimage.__all__})


def _offer(name: str, **content: Any) -> None:
    """A module of this name, unless it is loaded already."""
    if name in sys.modules:
        return
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(content)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
