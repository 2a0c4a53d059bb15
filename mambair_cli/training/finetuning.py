"""A recipe that goes on with a model on somebody's own photos."""

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import yaml

from ..declaration import plain
from ..errors import UsageError
from ..files import atomic
from ..weights import catalog
from ..weights.model import Model

DEGRADATIONS: dict[str, dict[str, Any]] = {
    "upscale": {"type": "bicubic"},
    "denoise": {"type": "noise", "sigma": [0, 50]},
    "dejpeg": {"type": "jpeg", "quality": [10, 95]},
    "dehaze": {"type": "haze"},
}
"""What a photo suffers on its way to a training input, by task."""

PATCH = 128
"""Edge of the clean patch in pixels, or the largest multiple of the scale below."""

HEAD = """\
# {name}: {model}, trained further on the photos in {photos}.
#
# Run:    mambair train {file}
# Note:   Made by mambair finetune. datasets.train.dataroot_gt and path.pretrain_network_g say from what; what a photo
#         suffers on its way to an input stands under degradation, and should be what pictures to restore have suffered.

"""


def task_of(model: Model, wanted: str | None) -> str:
    """What the model is to be trained for.

    Raises:
        UsageError: it cannot be trained for it, or nothing says for what.
    """
    possible = model.descriptor.tasks
    known = wanted or model.task or (next(iter(possible)) if len(possible) == 1 else None)
    if known is None:
        raise UsageError(f"Nothing says what {model.name} is for.", f"Give --task {' or '.join(sorted(possible))}.")
    if known not in possible:
        raise UsageError(f"{model.name} cannot be trained to {known}.", f"Use {' or '.join(sorted(possible))}.")
    return known


def recipe(photos: Path, model: Model, name: str, task: str) -> dict[str, Any]:
    """All that is not a default.

    Args:
        photos: folder of good photos.
        model: to begin with.
        name: of the experiment.
        task: see :func:`task_of`.

    Raises:
        UsageError: the network is not one of ours.
    """
    if not hasattr(model.network, "config"):
        raise UsageError(f"The network {model.architecture} of {model.name} is not ours.", "Write a recipe for it.")
    scale, gray = model.descriptor.scale, model.descriptor.in_channels == 1
    start = model.name if catalog.by_name(model.name) else str(model.path.absolute())
    data: dict[str, Any] = {"name": "photos", "type": "PhotoPatchDataset", "dataroot_gt": str(photos.resolve())}
    data |= {"degradation": DEGRADATIONS[task]} | ({"gray": True} if gray else {})
    data |= {"gt_size": PATCH - PATCH % scale, "patches_per_photo": 16, "batch_size_per_gpu": 8}
    return {
        "name": name,
        "model_type": "MambaIRModel",
        "scale": scale,
        "datasets": {"train": data},
        "network_g": {"type": model.architecture, **_options(model.network.config)},
        "path": {"pretrain_network_g": start},
        "train": {
            "total_iter": 5000,
            "ema_decay": 0.999,
            "ema_warmup": True,
            "clip_grad_norm": 1.0,
            "keep_last": 2,
            "optim_g": {"type": "AdamW", "lr": 5e-5, "weight_decay": 0.0},
            "scheduler": {"type": "CosineAnnealingRestartLR", "periods": [5000], "eta_min": 1e-6},
            "pixel_opt": {"type": "L1Loss"},
        },
        "logger": {"print_freq": 100, "save_checkpoint_freq": 500},
    }


def _options(config: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        if field.default is MISSING or value != field.default:
            inner = _options(value) if hasattr(value, "__dataclass_fields__") else plain(value)
            found[field.name] = inner
    return found


def written(content: dict[str, Any], model: Model, photos: Path) -> Path:
    """The file of a recipe in the working folder; one that is there already is left as it is."""
    file = Path(f"{content['name']}.yml")
    if not file.exists():
        head = HEAD.format(name=content["name"], model=model.name, photos=photos, file=file)
        atomic.write(file, head + yaml.safe_dump(content, sort_keys=False))
    return file
