"""The networks this package knows, and how to recognise their weights."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from . import mair, mambair, mambair_dehaze, mambair_nano, mambair_nano_unet, mambair_unet, mambairv2, tpmambasr
from .config import InferenceError, StateDict, options
from .descriptor import Descriptor
from .network import Network
from .unets import nnmamba, swin_umamba, umamba, uvmnet, vmambair, vmunet


@dataclass(frozen=True)
class Architecture:
    """One network class with the functions of its module (see :mod:`mambair_archs.network`).

    Attributes:
        network: built from the options of ``config`` by keyword.
        config: its options.
        matches: whether the keys of a state_dict look like this network's.
        infer: the options that tensors determine; raises InferenceError or ValueError if there are none.
        describe: what inference has to know about a network with such options.
    """

    network: type[Network]
    config: type[Any]
    matches: Callable[[StateDict], bool]
    infer: Callable[[StateDict], Any]
    describe: Callable[[Any], Descriptor]

    @property
    def name(self) -> str:
        """What recipes and files call it."""
        return self.network.__name__


def architecture(module: Any, network: type[Network], config: type[Any], **others: Any) -> Architecture:
    """A row of the registry, with the functions of ``module`` but for ``others``."""
    functions = {name: getattr(module, name) for name in ("matches", "infer", "describe")}
    return Architecture(network, config, **functions | others)


ARCHITECTURES: list[Architecture] = [
    architecture(mair, mair.MaIR, mair.MaIRConfig),  # before MambaIR, whose names it has too
    architecture(mambair, mambair.MambaIR, mambair.MambaIRConfig),
    architecture(mambair_nano, mambair_nano.MambaIRNano, mambair_nano.MambaIRNanoConfig),
    architecture(mambair_nano_unet, mambair_nano_unet.MambaIRNanoUNet, mambair_nano_unet.MambaIRNanoUNetConfig),
    architecture(mambair_unet, mambair_unet.MambaIRUNet, mambair_unet.MambaIRUNetConfig),
    architecture(mambair_dehaze, mambair_dehaze.MambaIRDehaze, mambair_dehaze.MambaIRDehazeConfig),
    architecture(tpmambasr, tpmambasr.T_PMambaSR, tpmambasr.T_PMambaSRConfig),  # before v2, whose names it has too
    architecture(mambairv2, mambairv2.MambaIRv2, mambairv2.MambaIRv2Config),
    architecture(mambairv2, mambairv2.MambaIRv2Light, mambairv2.MambaIRv2Config, matches=mambairv2.matches_light),
    architecture(vmunet, vmunet.VMUNet, vmunet.VMUNetConfig),
    architecture(
        vmunet,
        vmunet.MambaUNet,
        vmunet.MambaUNetConfig,
        matches=vmunet.matches_mamba_unet,
        infer=vmunet.infer_mamba_unet,
    ),
    architecture(umamba, umamba.UMamba, umamba.UMambaConfig),
    architecture(swin_umamba, swin_umamba.SwinUMamba, swin_umamba.SwinUMambaConfig),
    architecture(
        swin_umamba,
        swin_umamba.SwinUMambaD,
        swin_umamba.SwinUMambaDConfig,
        matches=swin_umamba.matches_dagger,
        infer=swin_umamba.infer_dagger,
        describe=swin_umamba.describe_dagger,
    ),
    architecture(nnmamba, nnmamba.NNMambaSeg, nnmamba.NNMambaSegConfig),
    architecture(uvmnet, uvmnet.UVMNet, uvmnet.UVMNetConfig),
    architecture(vmambair, vmambair.VmambaIR, vmambair.VmambaIRConfig),
]
"""Every network there is, our own in this order, then those that were added."""


def add(row: Architecture) -> None:
    """Make a network of another package known.

    Raises:
        ValueError: a network of this name is known.
    """
    if any(known.name == row.name for known in ARCHITECTURES):
        raise ValueError(f"a network called {row.name} is known already")
    ARCHITECTURES.append(row)


class UnknownWeightsError(ValueError):
    """No known network has these tensors.

    Attributes:
        closest: name of the network that shares most keys, or None.
        differences: the first differing keys, each a short sentence.
    """

    def __init__(self, closest: str | None, differences: list[str]) -> None:
        self.closest, self.differences = closest, differences
        what = f"closest is {closest}" if closest else "no network comes close"
        super().__init__(f"the tensors fit no known network; {what}: {'; '.join(differences)}")


@dataclass(frozen=True)
class Identified:
    """A recognised state_dict."""

    architecture: Architecture
    config: Any

    @property
    def descriptor(self) -> Descriptor:
        """What inference has to know."""
        return self.architecture.describe(self.config)

    def build(self, device: str = "cpu") -> Network:
        """The network with this configuration, freshly initialised (on ``meta``: shapes only)."""
        given = {name: getattr(self.config, name) for name in options(type(self.config))}
        with torch.device(device):
            return self.architecture.network(**given)


def get(name: str) -> Architecture:
    """The architecture called ``name``.

    Raises:
        KeyError: there is none.
    """
    return {architecture.name: architecture for architecture in ARCHITECTURES}[name]


def describe(network: nn.Module) -> Descriptor | None:
    """What inference has to know of a network that has been built; None if it is none of ours."""
    for architecture in ARCHITECTURES:
        if type(network) is architecture.network:
            return architecture.describe(network.config)
    return None


def identify(state_dict: StateDict) -> Identified:
    """Recognise the network and its configuration from the tensors alone.

    Raises:
        UnknownWeightsError: the tensors fit no known network exactly.
    """
    for architecture in ARCHITECTURES:
        if architecture.matches(state_dict):
            try:
                found = Identified(architecture, architecture.infer(state_dict))
                expected = found.build("meta").state_dict()
            except (InferenceError, ValueError) as error:
                raise UnknownWeightsError(architecture.name, [str(error)]) from error
            differences = compare(state_dict, expected)
            if differences:
                raise UnknownWeightsError(architecture.name, differences)
            return found
    raise UnknownWeightsError(*_closest(state_dict))


def compare(state_dict: StateDict, expected: StateDict, most: int = 3) -> list[str]:
    """The first ``most`` differences between the keys and shapes of two state_dicts, as short sentences."""
    missing = [f"{key} is missing" for key in expected if key not in state_dict]
    surplus = [f"{key} is not part of it" for key in state_dict if key not in expected]
    shapes = [
        f"{key} is {tuple(state_dict[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in state_dict and state_dict[key].shape != expected[key].shape
    ]
    kinds = [
        f"{key} holds {str(state_dict[key].dtype).removeprefix('torch.')} values"
        for key in expected
        if key in state_dict and state_dict[key].is_floating_point() != expected[key].is_floating_point()
    ]
    differences = missing + surplus + shapes + kinds
    more = len(differences) - most
    return differences[:most] + ([f"{more} more"] if more > 0 else [])


@cache
def _by_default(architecture: Architecture) -> StateDict:
    """Tensors without content of the network with its default options."""
    with torch.device("meta"):
        return architecture.network().state_dict()


def _closest(state_dict: StateDict) -> tuple[str | None, list[str]]:
    """The network with its default configuration that shares most keys with ``state_dict``."""
    best: tuple[float, str, StateDict] | None = None
    for architecture in ARCHITECTURES:
        expected = _by_default(architecture)
        shared = len(expected.keys() & state_dict.keys()) / max(len(expected.keys() | state_dict.keys()), 1)
        if shared > 0 and (best is None or shared > best[0]):
            best = (shared, architecture.name, expected)
    if best is None:
        found = ", ".join(list(state_dict)[:3]) or "no tensors"
        return None, [f"the file holds {found}"]
    return best[1], compare(state_dict, best[2])
