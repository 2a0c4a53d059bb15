"""Files of ``mambair export``, restored with by the same pipeline as weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mambair_archs import Descriptor
from mambair_archs.network import Place, view_size

from ..errors import DeviceError, ModelError, UsageError
from ..tasks import TASKS
from ..weights.model import Model
from . import session
from .extra import load as load_extra
from .parts import LOOK, beside

SUFFIX = ".onnx"
KEY = "mambair"
"""Of the metadata that say what inference has to know: an object of JSON."""

FACTS = ("scale", "in_channels", "size_multiple", "tile", "bytes_per_pixel", "minimum_size", "global_view")
"""What of a :class:`Descriptor` a file carries."""


class OnnxNetwork(nn.Module):
    """A session of onnxruntime in place of a network: (1, channels, height, width) in and out, on the processor."""

    def __init__(self, ready: Any) -> None:
        super().__init__()
        self.session = ready

    def forward(self, image: Tensor) -> Tensor:
        """See :class:`mambair_archs.network.Network`."""
        return _only(session.run(self.session, image=image))


class OnnxView(nn.Module):
    """Two sessions in place of a network with a global view; ``longest`` is the longer edge of the view."""

    def __init__(self, look: Any, apply: Any, longest: int) -> None:
        super().__init__()
        self.looking, self.applying, self.longest = look, apply, longest

    def look(self, view: Tensor, strength: float = 1.0) -> Tensor:
        """See :class:`mambair_archs.network.GlobalView`.

        Raises:
            ValueError: the strength is another than that of the file, 1.
        """
        if strength != 1:
            raise ValueError(f"a file of ONNX does not look at a strength of {strength:g}")
        return _only(session.run(self.looking, view=view))

    def apply_view(self, region: Tensor, state: Tensor, place: Place) -> Tensor:
        """See :class:`mambair_archs.network.GlobalView`."""
        sizes = (place.height, place.width)
        numbers = (place.top, place.left, *sizes, *view_size(*sizes, self.longest))
        given = torch.tensor(numbers, dtype=torch.float64)
        return _only(session.run(self.applying, region=region, state=state, place=given))


def _only(outputs: list[NDArray[np.float32]]) -> Tensor:
    (output,) = outputs
    return torch.from_numpy(output)


def network(sessions: list[Any], longest: int) -> OnnxNetwork | OnnxView:
    """What stands for the network whose :func:`.parts.parts` the sessions run; ``longest`` is 0 or its view's edge."""
    if not longest:
        return OnnxNetwork(*sessions)
    look, apply = sessions
    return OnnxView(look, apply, longest)


def about(model: Model, **more: Any) -> str:
    """What a file says of a model."""
    facts = {name: getattr(model.descriptor, name) for name in FACTS}
    named = {"name": model.name, "task": model.task, "network": model.architecture}
    return json.dumps(facts | named | more, sort_keys=True)


def load(path: Path, device: str = "auto", provider: str | None = None) -> Model:
    """A model of a file.

    Args:
        path: a file of :func:`.onnx.export`.
        device: ``auto`` or ``cpu``, since it is the provider that computes.
        provider: of onnxruntime, such as ``CUDA`` or ``OpenVINOExecutionProvider``; None: the processor.

    Raises:
        MambairError: the extra is not installed.
        ModelError: it cannot be read, or does not say what it is.
        DeviceError: the provider is not there.
        UsageError: another device is asked for.
    """
    if device not in ("auto", "cpu"):
        raise UsageError(f"{path} is run by onnxruntime, not on {device}.", "Use --provider in place of --device.")
    chosen = _provider(provider)
    sessions = [_session(path, chosen, "Check the name.")]
    descriptor, known = _understood(path, sessions[0].get_modelmeta().custom_metadata_map.get(KEY))
    if descriptor.global_view:
        hint = f"mambair export made two files; {path.name} needs the other one beside it."
        sessions.insert(0, _session(beside(path, LOOK), chosen, hint))
    return Model(
        name=str(known["name"]),
        path=path,
        task=known["task"],
        architecture=f"{known['network']} (ONNX)",
        descriptor=descriptor,
        network=network(sessions, descriptor.global_view).eval(),
        device=torch.device("cpu"),
        autocast=False,
    )


def _session(path: Path, provider: str, hint: str) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror}.", hint) from None
    ready = session.session(content, [provider] if provider == session.CPU else [provider, session.CPU])
    if provider not in ready.get_providers():  # onnxruntime goes on without one whose libraries are missing
        raise DeviceError(f"onnxruntime could not start {provider}.", "Check its drivers, or leave out --provider.")
    return ready


def _provider(wanted: str | None) -> str:
    runtime = load_extra("onnx", "onnxruntime")
    there: list[str] = runtime.get_available_providers()
    if wanted is None:
        return session.CPU
    short = {name.removesuffix("ExecutionProvider").lower(): name for name in there}
    found = short.get(wanted.lower().removesuffix("executionprovider"))
    if found is None:
        raise DeviceError(
            f"This onnxruntime has no provider {wanted}; it has {', '.join(short)}.",
            "Install the onnxruntime of the device, such as onnxruntime-gpu, -openvino or -directml.",
        )
    return found


def _understood(path: Path, facts: str | None) -> tuple[Descriptor, dict[str, Any]]:
    try:
        known = json.loads(facts or "")
        numbers = {name: known[name] for name in FACTS}
        right = all(type(number) is int and number >= 0 for number in numbers.values())
        if not right or min(numbers["scale"], numbers["tile"], numbers["size_multiple"]) < 1:
            raise ValueError
        if known["task"] not in (None, *(task.name for task in TASKS)):
            raise ValueError
        return Descriptor(**numbers, dtypes=frozenset({torch.float32})), known
    except (KeyError, TypeError, ValueError):
        raise ModelError(
            f"The file {path} was not written by mambair export: it does not say what its network does.",
            "Write it with mambair export from weights.",
        ) from None
