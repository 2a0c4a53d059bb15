"""spandrel both ways: its programs load our networks, and our commands run what it knows.

>>> import mambair_cli.export.spandrel
>>> mambair_cli.export.spandrel.install()
>>> spandrel.ModelLoader().load_from_file("mambair.safetensors")

spandrel (github.com/chaiNNer-org/spandrel) is what ComfyUI, chaiNNer and others load models with.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mambair_archs import ARCHITECTURES, Descriptor, UnknownWeightsError, identify
from mambair_archs.registry import Architecture

from ..errors import ModelError
from ..weights.model import Model
from .extra import load as load_extra

TILE = 256
"""Edge in pixels for networks that say nothing of tiles."""

FEATURES = 64
"""Channels that the estimate of working memory supposes at input resolution and at output resolution."""


def module() -> Any:
    """The package, loaded even where torchvision's build does not fit torch's, of which it takes little.

    Raises:
        MambairError: it is not installed.
    """
    from ..training.basicsr.before_import import import_torchvision

    import_torchvision()
    return load_extra("spandrel", "spandrel")


def install() -> None:
    """Register our networks, so that spandrel's own loader takes their weights. Again, it changes nothing.

    Ours come before its own; they are recognised only if every tensor fits.

    Raises:
        MambairError: spandrel is not installed.
    """
    spandrel = module()
    registry = spandrel.MAIN_REGISTRY
    there = tuple(each.architecture.id for each in registry)
    for row in ARCHITECTURES:
        support = _support(spandrel, row, tuple(known for known in there if known != row.name))
        if support.architecture.id not in there:
            registry.add(support)


def _support(spandrel: Any, row: Architecture, before: tuple[str, ...]) -> Any:
    def detect(state_dict: Mapping[str, Any]) -> bool:
        tensors = dict(state_dict)
        try:
            return row.matches(tensors) and identify(tensors).architecture is row
        except UnknownWeightsError:
            return False

    class Ours(spandrel.Architecture):  # type: ignore[misc]
        """One of our networks."""

        def __init__(self) -> None:
            super().__init__(id=row.name, detect=detect)

        def load(self, state_dict: dict[str, Any]) -> Any:
            """What spandrel has to know of the weights."""
            found = identify(state_dict)
            facts = found.descriptor
            tiling = spandrel.ModelTiling.DISCOURAGED if facts.global_view else spandrel.ModelTiling.SUPPORTED
            return spandrel.ImageModelDescriptor(
                found.build(),
                state_dict,
                self,
                purpose="SR" if facts.scale > 1 else "Restoration",
                tags=[],
                supports_half=False,  # it would turn the parameters of the scan into half precision, too
                supports_bfloat16=False,
                scale=facts.scale,
                input_channels=facts.in_channels,
                output_channels=facts.in_channels,
                size_requirements=spandrel.SizeRequirements(minimum=facts.minimum_size),
                tiling=tiling,
            )

    return spandrel.ArchSupport.from_architecture(Ours(), before)


class SpandrelNetwork(nn.Module):
    """A model of spandrel with its own padding to the sizes that it takes."""

    def __init__(self, described: Any) -> None:
        super().__init__()
        self.model, self._described = described.model, described

    def forward(self, image: Tensor) -> Tensor:
        """See :class:`mambair_archs.network.Network`."""
        out: Tensor = self._described(image)
        return out


def load(path: Path, found: Iterable[Mapping[str, Tensor]], name: str, task: str | None, device: torch.device) -> Model:
    """A model of sets of tensors that spandrel knows.

    Raises:
        MambairError: spandrel is not installed.
        ModelError: it does not know them, or they are no model that restores one picture.
    """
    spandrel = module()
    for tensors in found:
        try:
            described = spandrel.MAIN_REGISTRY.load(spandrel.canonicalize_state_dict(dict(tensors)))
        except spandrel.UnsupportedModelError:
            continue
        except Exception as error:  # a name fits, a shape does not: torch's and Python's own errors
            first = (str(error).strip().splitlines() or ["no details"])[0].rstrip(".:")
            raise ModelError(f"spandrel cannot load {path}: {first}.", "Check the file.") from None
        return _model(spandrel, described, path, name, task, device)
    raise ModelError(
        f"The model file {path} fits no network of ours, and none that spandrel knows.",
        "Give weights of a network that mambair models show or spandrel names.",
    )


def _model(spandrel: Any, described: Any, path: Path, name: str, task: str | None, device: torch.device) -> Model:
    kind = described.architecture.name
    channels = described.input_channels
    if not isinstance(described, spandrel.ImageModelDescriptor) or described.output_channels != channels:
        raise ModelError(f"{path} is a {kind}, which takes more than one picture.", "Give a model for pictures alone.")
    sizes, scale = described.size_requirements, described.scale
    descriptor = Descriptor(
        scale=scale,
        in_channels=channels,
        size_multiple=sizes.multiple_of,
        minimum_size=max(1, sizes.minimum),
        tile=TILE,
        bytes_per_pixel=4 * FEATURES * (16 + 4 * scale**2),
        dtypes=frozenset({torch.float32}),
    )
    network = SpandrelNetwork(described.to(device).eval())
    return Model(name, path, task, f"{kind} (spandrel)", descriptor, network, device)
