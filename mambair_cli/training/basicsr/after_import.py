"""What is wrong inside BasicSR 1.4.2 on a current machine; one function per defect, applied after its import."""

import logging
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import pretrained, resuming
from ..checkpoints import write
from ..perceptual import weights
from . import data, network_note, real_esrgan


def apply() -> None:
    """All of them."""
    resume_without_cuda()
    resume_by_the_recipe()
    read_any_weights()
    whole_jpeg_quality()
    distribute_without_cuda()
    save_atomically()
    log_where_we_want()
    data.apply()
    find_in_silence()
    name_missing_features()
    real_esrgan.apply()


def resume_without_cuda() -> None:
    """BasicSR asks CUDA for its current device before it reads a state, and moves every tensor of it there."""
    import basicsr.train as train
    from basicsr.utils import check_resume

    def load_resume_state(opt: dict[str, Any]) -> Any:
        path = opt["path"].get("resume_state")
        if opt["auto_resume"]:
            states = Path("experiments", opt["name"], "training_states").glob("*.state")
            newest = max(states, key=lambda file: float(file.stem), default=None)
            path = opt["path"]["resume_state"] = str(newest) if newest else None
        if path is None:
            return None
        state = torch.load(path, map_location="cuda" if torch.cuda.is_available() else "cpu", weights_only=True)
        check_resume(opt, state["iter"])
        return state

    train.load_resume_state = load_resume_state


def resume_by_the_recipe() -> None:
    """BasicSR takes learning rates, schedules and all other settings of optimisers from the checkpoint."""
    from basicsr.models.base_model import BaseModel

    def resume_training(self: Any, resume_state: dict[str, Any]) -> None:
        resuming.carry_over(self.optimizers, resume_state)

    BaseModel.resume_training = resume_training


def read_any_weights() -> None:
    """BasicSR knows one layout of one kind of file, and of what does not fit loads nothing without a word."""
    from basicsr.models.base_model import BaseModel

    def load_network(
        self: Any, net: nn.Module, load_path: str, strict: bool = True, param_key: str | None = "params"
    ) -> None:
        pretrained.load(self.get_bare_model(net), Path(load_path), strict, param_key)

    BaseModel.load_network = load_network


def whole_jpeg_quality() -> None:
    """OpenCV refuses the float that BasicSR draws as JPEG quality; older ones cut it to a whole number."""
    import basicsr.data.degradations as degradations

    original = degradations.add_jpg_compression

    def add_jpg_compression(img: Any, quality: float = 90) -> Any:
        return original(img, math.floor(quality))

    degradations.add_jpg_compression = add_jpg_compression


def distribute_without_cuda() -> None:
    """BasicSR ties every distributed network to a CUDA device, and splits batches over GPUs within one process.

    Here one process drives one device; a recipe's ``num_gpu`` says how many processes it was meant for.
    """
    from basicsr.models.base_model import BaseModel

    def model_to_device(self: Any, net: nn.Module) -> nn.Module:
        net = net.to(self.device)
        if not self.opt["dist"]:
            return net
        devices = [torch.cuda.current_device()] if self.device.type == "cuda" else None
        unused = self.opt.get("find_unused_parameters", False)
        return nn.parallel.DistributedDataParallel(net, device_ids=devices, find_unused_parameters=unused)

    BaseModel.model_to_device = model_to_device


def save_atomically() -> None:
    """BasicSR writes over files in place and goes on when that fails; a crash then leaves half a checkpoint.

    The content is BasicSR's own, and what :mod:`.network_note` adds. What a model holds in ``extra_state`` is added to
    its training state.
    """
    from basicsr.models.base_model import BaseModel
    from basicsr.utils.dist_util import master_only

    def save_network(self: Any, net: Any, net_label: str, current_iter: int, param_key: Any = "params") -> None:
        nets, keys = (net, param_key) if isinstance(net, list) else ([net], [param_key])
        content: dict[str, Any] = {
            key: {name.removeprefix("module."): value.cpu() for name, value in _state(self, one).items()}
            for one, key in zip(nets, keys, strict=True)
        }
        if net_label == "net_g":
            content |= network_note.made(self.opt["network_g"], self.opt.get("scale", 1))
        number = "latest" if current_iter == -1 else current_iter
        write(Path(self.opt["path"]["models"], f"{net_label}_{number}.pth"), content)

    def save_training_state(self: Any, epoch: int, current_iter: int) -> None:
        if not isinstance(current_iter, int) or current_iter == -1:
            return  # "latest" and "best" are weights alone
        state = {
            "epoch": epoch,
            "iter": current_iter,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }
        state |= {"mambair": self.extra_state} if hasattr(self, "extra_state") else {}
        write(Path(self.opt["path"]["training_states"], f"{current_iter}.state"), state)

    BaseModel.save_network = master_only(save_network)
    BaseModel.save_training_state = master_only(save_training_state)


def log_where_we_want() -> None:
    """BasicSR's logger prints to the terminal over the progress bar and empties the log of a run that goes on."""
    from basicsr.utils.logger import initialized_logger

    logger = logging.getLogger("basicsr")
    logger.addHandler(logging.NullHandler())
    logger.setLevel(logging.INFO)
    logger.propagate = False
    initialized_logger["basicsr"] = True


def _state(model: Any, net: nn.Module) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = model.get_bare_model(net).state_dict()
    return state


def find_in_silence() -> None:
    """BasicSR prints to standard output whenever a part has the suffix with which it registers its own."""
    from basicsr.utils.registry import Registry

    def get(self: Any, name: str, suffix: str = "basicsr") -> Any:
        found = self._obj_map.get(name) or self._obj_map.get(f"{name}_{suffix}")
        if found is None:
            raise KeyError(f"No object named {name!r} found in {self._name!r} registry!")
        return found

    Registry.get = get


def name_missing_features() -> None:
    """BasicSR's perceptual loss ends in errors of others without torchvision, or without the weights of its network."""
    from basicsr.archs.vgg_arch import VGGFeatureExtractor

    build = VGGFeatureExtractor.__init__

    def __init__(self: Any, layer_name_list: Any, vgg_type: str = "vgg19", *rest: Any, **options: Any) -> None:
        with weights(vgg_type), warnings.catch_warnings(action="ignore"):  # about a spelling of 2022
            build(self, layer_name_list, vgg_type, *rest, **options)

    VGGFeatureExtractor.__init__ = __init__
