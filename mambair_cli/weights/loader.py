"""From a file or a name to a network that is ready to run."""

from pathlib import Path
from typing import Any

import torch

from mambair_archs import ARCHITECTURES, Identified, UnknownWeightsError, identify

from ..errors import ModelError, UsageError
from ..files import checksum
from . import catalog, files
from .model import Model, resolve_device

__all__ = ["WEIGHTS", "Model", "from_pretrained", "inspect", "load", "locate", "recognise"]

WEIGHTS = "model.safetensors"
"""In a folder as the Hugging Face hub has them."""


class UnknownNetworkError(ModelError):
    """Tensors that can be read, but fit none of our networks."""


def locate(name: str) -> tuple[Path, catalog.CatalogEntry | None]:
    """The file for a catalogue name or a path.

    Raises:
        ModelError: a catalogue name whose file has not been downloaded.
    """
    entry = catalog.by_name(name)
    if entry is None:
        path = Path(name)
        return path / WEIGHTS if (path / WEIGHTS).is_file() else path, None
    if not entry.installed:
        raise ModelError(f"The model {name} has not been downloaded to {entry.path}.", f"Get it with {entry.download}.")
    return entry.path, entry


def inspect(path: Path) -> tuple[Identified, dict[str, torch.Tensor], dict[str, str]]:
    """Read a file and recognise its network.

    Raises:
        ModelError: the file cannot be read, or fits no known network.
    """
    found, metadata = files.read(path)
    errors: list[UnknownWeightsError] = []
    for tensors in found:
        try:
            return identify(tensors), tensors, metadata
        except UnknownWeightsError as error:
            errors.append(error)
    told = next((error for error in errors if error.closest), errors[0])
    closest = f"closest is {told.closest}" if told.closest else "nothing comes close"
    raise UnknownNetworkError(
        f"The model file {path} fits no known network; {closest}: {'; '.join(told.differences)}.",
        f"Give weights of one of {', '.join(known.name for known in ARCHITECTURES)}.",
    )


def recognise(path: Path, metadata: dict[str, str]) -> tuple[str, str | None]:
    """Name and task from the metadata, else from the catalogue by checksum, else the file's name and None."""
    entry = catalog.by_sha256(checksum.of_file(path))
    name = metadata.get("name") or (entry.name if entry else path.stem)
    return name, metadata.get("task") or (entry.task if entry else None)


def load(name: str | Path, device: str = "auto", provider: str | None = None) -> Model:
    """Load a model by catalogue name or from a file.

    ``provider`` of onnxruntime runs a file of ONNX; the processor does by itself.

    Raises:
        ModelError: it cannot be found, read or recognised.
        DeviceError: the device or the provider is not there.
        UsageError: a provider is given for weights, or a device for a file of ONNX.
    """
    if Path(name).suffix.lower() == ".onnx":
        from ..export import onnx_model

        return onnx_model.load(Path(name), device, provider)
    if provider is not None:
        raise UsageError(f"{name} is no file of ONNX, so no provider can run it.", "Leave out --provider.")
    target = resolve_device(device)
    path, entry = locate(str(name))
    try:
        identified, tensors, metadata = inspect(path)
    except UnknownNetworkError as error:
        return _other(path, target, error)
    network = identified.build().eval()
    network.load_state_dict(tensors)
    known, task = (entry.name, entry.task) if entry else recognise(path, metadata)
    return Model(known, path, task, identified.architecture.name, identified.descriptor, network.to(target), target)


def _other(path: Path, device: torch.device, error: UnknownNetworkError) -> Model:
    """A network that is not ours: the file says what it is, or spandrel knows it, if that is installed."""
    from ..export import extra, spandrel
    from ..training.basicsr import trained

    if model := trained.load(path, device):
        return model
    if not extra.available("spandrel"):
        others = "pip install 'mambair[spandrel]' for others; what BasicSR trained is known in experiments/NAME/models"
        raise ModelError(error.message, f"{error.hint[:-1]}, or {others}, below its recipe.") from None
    found, metadata = files.read(path)
    return spandrel.load(path, found, *recognise(path, metadata), device)


def from_pretrained(name: str, device: str = "auto", **options: Any) -> Model:
    """A model of a folder, or of the hub, from where it is downloaded to the hub's cache.

    Args:
        name: a folder, or ``owner/name`` on the hub.
        device: as for :func:`mambair_cli.load_model`.
        options: of ``huggingface_hub.ModelHubMixin.from_pretrained``, such as ``revision`` or ``local_files_only``.

    Raises:
        MambairError: the extra is not installed.
        ModelError: the weights cannot be read, or fit no known network.
    """
    from ..export import extra

    hub = extra.load("hub", "huggingface_hub")

    class Pretrained(hub.ModelHubMixin):  # type: ignore[misc,name-defined]
        """What the mixin makes: a holder, since it notes the configuration on it."""

        model: Model

        @classmethod
        def _from_pretrained(cls, *, model_id: str, **given: Any) -> "Pretrained":
            folder = Path(model_id)
            if not folder.is_dir():
                taken = ("revision", "cache_dir", "force_download", "local_files_only", "token")
                found = hub.hf_hub_download(model_id, WEIGHTS, **{key: given[key] for key in taken if key in given})
                folder = Path(found)
            made = cls()
            made.model = load(folder, device)
            return made

    loaded: Model = Pretrained.from_pretrained(name, **options).model
    return loaded


Model.from_pretrained = staticmethod(from_pretrained)
