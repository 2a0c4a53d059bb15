"""Write a model as safetensors: tensors alone, and what they are for."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save

from mambair_archs import Identified

from ..errors import OutputError, UsageError
from ..files.outputs import check_new, publish, reserved
from . import loader
from .digest import KEY, digest


@dataclass(frozen=True)
class Content:
    """A file of safetensors, and what is known of it.

    Attributes:
        data: the file.
        found: the network.
        about: its metadata, ``name`` and maybe ``task`` among them.
        licence: of a model in the catalogue.
        psnr: published scores of a model in the catalogue.
    """

    data: bytes
    found: Identified
    about: dict[str, str]
    licence: str | None = None
    psnr: dict[str, float] = field(default_factory=dict)


def export(source: str, target: Path, *, name: str | None, task: str | None, half: bool, overwrite: bool) -> None:
    """Write a model as safetensors.

    Args:
        source: a file or a name of the catalogue.
        target: the new file.
        name: the name it carries; None keeps the one it has.
        task: what it is for; None keeps what is known.
        half: store floats in 16 bits; networks are run in 32 all the same.
        overwrite: replace ``target``.

    Raises:
        ModelError: the source cannot be read, or is no known network.
        UsageError: its network cannot do ``task``, or ``target`` is no .safetensors.
        OutputError: ``target`` exists or cannot be written, or a value does not fit into 16 bits.
    """
    if target.suffix.lower() != ".safetensors":
        raise UsageError(f"{target} does not end in .safetensors.", "Give it that ending.")
    if not overwrite:
        check_new(target)
    made = content(source, name=name, task=task, half=half)
    with reserved(target) as temporary:
        publish(temporary, target, made.data, overwrite)


def content(source: str, *, name: str | None, task: str | None, half: bool) -> Content:
    """A model as safetensors, see :func:`export`."""
    path, entry = loader.locate(source)
    found, tensors, metadata = loader.inspect(path)
    known, trained = (entry.name, entry.task) if entry else loader.recognise(path, metadata)
    task = task or trained
    if task is not None and task not in found.descriptor.tasks:
        able = ", ".join(sorted(found.descriptor.tasks))
        raise UsageError(f"The network of {source} cannot {task}.", f"Give --task {able}.")
    if half:
        tensors = {key: _half(key, value) for key, value in tensors.items()}
    about = metadata | {"name": name or known} | ({"task": task} if task else {})
    # The format has no tensors of two names, which networks have that list a layer twice.
    apart = {key: value.clone(memory_format=torch.contiguous_format) for key, value in tensors.items()}
    data = save(apart, metadata=about | {KEY: digest(apart)})
    return Content(data, found, about, entry.licence if entry else None, dict(entry.psnr) if entry else {})


def _half(key: str, value: torch.Tensor) -> torch.Tensor:
    if not value.is_floating_point():
        return value
    small = value.half()
    if not small.isfinite().all():
        raise OutputError(f"{key} holds values beyond the range of 16-bit floats.", "Leave out --half.")
    return small
