"""What of a network becomes a file of ONNX: all of it, or its look at the whole picture and what is done to regions."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mambair_archs import MambaIRDehaze
from mambair_archs.network import Place

from ..weights.model import Model

LOOK = ".look"
"""Between name and suffix of the file that looks at a picture as a whole, beside that for its regions."""

SIZES = ((24, 40), (40, 24))
"""Heights and widths of the pictures that are traced."""


@dataclass(frozen=True)
class Part:
    """A file: what stands between its name and suffix, and what :func:`.trace.trace` makes it of."""

    mark: str
    module: nn.Module
    given: dict[str, tuple[Tensor, Tensor]]
    output: str


class Half(nn.Module):
    """A module with weights and activations of 16 bits but for its scans; pictures keep 32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).half()

    def forward(self, image: Tensor) -> Tensor:
        """As the module."""
        out: Tensor = self.module(image.half()).float()
        return out


class Look(nn.Module):
    """A reduced picture to what its regions have to know of it."""

    def __init__(self, network: MambaIRDehaze) -> None:
        super().__init__()
        self.network = network

    def forward(self, view: Tensor) -> Tensor:
        """See :class:`mambair_archs.network.GlobalView`."""
        return self.network.look(view)


class Apply(nn.Module):
    """A region, and what it has to know, to what becomes of it."""

    def __init__(self, network: MambaIRDehaze) -> None:
        super().__init__()
        self.network = network

    def forward(self, region: Tensor, state: Tensor, place: Tensor) -> Tensor:
        """``place``: row and column of the region's corner, height and width of the picture and of its view."""
        top, left, height, width, rows, columns = place.unbind()
        whole = Place(top, left, height, width)  # type: ignore[arg-type]  # numbers that are not known yet
        return self.network.apply_view_of(region, state, whole, (rows, columns))  # type: ignore[arg-type]


def parts(model: Model, half: bool) -> list[Part]:
    """The files of a model; the one that bears its name alone comes last.

    Args:
        model: on the processor.
        half: weights and activations of 16 bits.
    """
    network = model.network
    image, other = (torch.rand(1, model.descriptor.in_channels, *size) for size in SIZES)
    if not isinstance(network, MambaIRDehaze):
        return [Part("", Half(network) if half else network, {"image": (image, other)}, "restored")]
    look = Look(network)
    place = torch.tensor([0, 0, *SIZES[0], *SIZES[0]], dtype=torch.float64)
    with torch.inference_mode():
        states = (network.look(image).clone(), network.look(other).clone())
    given = {"region": (image, other), "state": states, "place": (place, place)}
    return [
        Part(LOOK, Half(look) if half else look, {"view": (image, other)}, "state"),
        Part("", Apply(network), given, "restored"),
    ]


def beside(target: Path, mark: str) -> Path:
    """The file of a part, given that of the last one."""
    return target.with_name(f"{target.stem}{mark}{target.suffix}")
