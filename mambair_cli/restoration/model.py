"""A loaded model as it is applied to a picture: its tiles, its network with the switches, its memory."""

import torch.nn.functional as F
from torch import Tensor

from mambair_archs.network import GlobalView

from ..errors import UsageError
from ..weights.model import Model
from . import ensemble as symmetries
from .choices import Choices
from .engine import Network, Report, Settings
from .global_view import Viewing
from .graphs import graphed
from .precision import mixed
from .told import Noise, Told

DEFAULT_OVERLAP = 16
"""Pixels that neighbouring tiles share. More costs time and gains nothing (docs/results.md, "Borders of tiles")."""


def settings(model: Model, tile: int | None, overlap: int | None) -> Settings:
    """Tiling for a model; None takes the network's recommended tile and an overlap in proportion.

    Raises:
        UsageError: the numbers do not fit together.
    """
    descriptor = model.descriptor
    edge = descriptor.tile if tile is None else tile
    common = min(DEFAULT_OVERLAP, edge // 4 if edge else DEFAULT_OVERLAP) if overlap is None else overlap
    return Settings(
        scale=descriptor.scale,
        channels=descriptor.in_channels,
        tile=edge,
        overlap=common,
        multiple=descriptor.size_multiple,
        device=model.device,
        global_view=descriptor.global_view,
    )


def applied(model: Model, choices: Choices, report: Report, noise: Noise | None = None) -> Network | GlobalView | Told:
    """The network of a model as it is to be applied to one picture; what happens is noted in ``report``.

    ``noise`` is added to what it sees.

    Raises:
        UsageError: the model does not go with the precision.
    """
    check_precision(model, choices.precision)
    check_strength(model, choices.strength)
    average = symmetries.ensemble if choices.ensemble else _as_it_is
    precision, strength = choices.precision, choices.strength
    if model.descriptor.global_view:
        assert isinstance(model.network, GlobalView)
        # The result is linear in what is seen, so that the mean of the views gives the mean of the results. What is
        # seen is divided by the little light that gets through the haze, which takes full precision.
        more, share = max(strength, 1.0), min(strength, 1.0)
        return Viewing(model.network, more, average, lambda apply: blended(mixed(apply, precision, report), share))
    network = average(mixed(graphed(model.network), precision, report))
    if noise is not None:
        return Told(network, noise, lambda denoiser: blended(denoiser, strength))
    return blended(network, strength, model.descriptor.scale)


def blended(network: Network, strength: float, scale: int = 1) -> Network:
    """``network`` with only this share of what it changes: 0 nothing, 1 all.

    Where it enlarges, what it changes is what bicubic interpolation makes (Keys, a = -0.75), so that grain can stay.
    """
    if strength == 1:
        return network

    def run(x: Tensor) -> Tensor:
        plain = x if scale == 1 else F.interpolate(x, scale_factor=scale, mode="bicubic")
        return plain if strength == 0 else plain + strength * (network(x) - plain)

    return run


def check_strength(model: Model, strength: float) -> None:
    """Refuse to ask a network for more than it does.

    Raises:
        UsageError: it is asked for.
    """
    if strength > 1 and not (model.descriptor.global_view and model.autocast):
        raise UsageError(
            f"{model.name} cannot do more than all of its change, which is a strength of 1.",
            "Give a number from 0 to 1; above that is for haze, and not for files of ONNX.",
        )


def check_sigma(model: Model) -> None:
    """Refuse to be told of noise where none is taken away.

    Raises:
        UsageError: the model is not known to denoise.
    """
    if "denoise" not in model.descriptor.tasks or model.task not in (None, "denoise"):
        raise UsageError(
            f"The model {model.name} does not denoise, so sigma says nothing to it.", "Leave it out, or denoise first."
        )


def check_precision(model: Model, precision: str) -> None:
    """Refuse half precision for what torch does not run.

    Raises:
        UsageError: it is asked for.
    """
    if precision != "fp32" and not model.autocast:
        raise UsageError(f"{model.path} computes in the numbers it was exported with.", "Leave out the precision.")


def _as_it_is(network: Network) -> Network:
    return network


def bytes_per_pixel(model: Model, ensemble: bool) -> int:
    """Working memory per input pixel."""
    descriptor = model.descriptor
    more = symmetries.working_bytes(descriptor.scale, descriptor.in_channels) if ensemble else 0
    return descriptor.bytes_per_pixel + more
