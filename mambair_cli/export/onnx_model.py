"""Files of ``mambair export``, restored with by the same pipeline as weights."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mambair_archs import Descriptor

from ..errors import DeviceError, ModelError, UsageError
from ..tasks import TASKS
from ..weights.model import Model
from . import session
from .extra import load as load_extra

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
        return torch.from_numpy(session.run(self.session, image=image)[0])


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
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The model file {path} cannot be read: {error.strerror}.", "Check the name.") from None
    ready = session.session(content, [chosen] if chosen == session.CPU else [chosen, session.CPU])
    if chosen not in ready.get_providers():  # onnxruntime goes on without one whose libraries are missing
        raise DeviceError(f"onnxruntime could not start {chosen}.", "Check its drivers, or leave out --provider.")
    facts = ready.get_modelmeta().custom_metadata_map.get(KEY)
    descriptor, known = _understood(path, facts)
    return Model(
        name=str(known["name"]),
        path=path,
        task=known["task"],
        architecture=f"{known['network']} (ONNX)",
        descriptor=descriptor,
        network=OnnxNetwork(ready).eval(),
        device=torch.device("cpu"),
        autocast=False,
    )


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
