"""What BasicSR takes from torchvision, for machines where that cannot be imported.

BasicSR needs it to normalise, to lay out grids and to turn RGB gray; everything else it names only in models of other
kinds, which say so when they are built.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor

NAMES = ("utils", "transforms", "transforms.functional", "models", "models.vgg", "ops")


def install() -> None:
    """Make ``import torchvision`` and the modules in ``NAMES`` succeed for the rest of this process."""
    root = _module("torchvision", None)
    root.__version__ = "0.0"  # type: ignore[attr-defined]
    for name in NAMES:
        parent, _, last = f"torchvision.{name}".rpartition(".")
        _module(f"torchvision.{name}", (sys.modules[parent], last))
    modules = sys.modules
    modules["torchvision.utils"].make_grid = make_grid  # type: ignore[attr-defined]
    modules["torchvision.transforms.functional"].normalize = normalize  # type: ignore[attr-defined]
    modules["torchvision.transforms.functional"].rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]


def _module(name: str, place: tuple[ModuleType, str] | None) -> ModuleType:
    module = _Stub(name)
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    module.__path__ = []
    sys.modules[name] = module
    if place:
        setattr(*place, module)
    return module


class _Stub(ModuleType):
    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"{self.__name__}.{name} needs torchvision, which cannot be imported here")


def normalize(tensor: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """(..., channels, height, width) minus ``mean``, divided by ``std``, per channel."""
    out = tensor if inplace else tensor.clone()
    shape = (-1, 1, 1)
    return out.sub_(out.new_tensor(mean).view(shape)).div_(out.new_tensor(std).view(shape))


def rgb_to_grayscale(image: Tensor, num_output_channels: int = 1) -> Tensor:
    """(..., 3, height, width) RGB to BT.601 gray with as many equal channels as asked for."""
    gray = (image * image.new_tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)).sum(-3, keepdim=True).to(image.dtype)
    return gray.expand(*gray.shape[:-3], num_output_channels, *gray.shape[-2:]).contiguous()


def make_grid(
    tensor: Tensor, nrow: int = 8, padding: int = 2, normalize: bool = False, pad_value: float = 0.0
) -> Tensor:
    """(count, channels, height, width) as one picture of rows of ``nrow``; one image alone gets no border.

    Raises:
        NotImplementedError: the values should be stretched.
    """
    if normalize:
        raise NotImplementedError("stretching values needs torchvision, which cannot be imported here")
    if tensor.shape[1] == 1:
        tensor = tensor.expand(-1, 3, -1, -1)
    count, channels, height, width = tensor.shape
    if count == 1:
        return tensor[0]
    columns = min(nrow, count)
    rows = -(-count // columns)
    step_y, step_x = height + padding, width + padding
    grid = torch.full((channels, rows * step_y + padding, columns * step_x + padding), pad_value, dtype=tensor.dtype)
    for number, image in enumerate(tensor):
        top, left = number // columns * step_y + padding, number % columns * step_x + padding
        grid[:, top : top + height, left : left + width] = image
    return grid
