"""BasicSR's models of Real-ESRGAN, which degrade whole batches: on any device, and exact when they are resumed.

They put their JPEG, their sharpener and their pool of pairs on CUDA, whatever the recipe's device is. The pool, from
which they draw samples of earlier steps, is a part of the training's state.
"""

from typing import Any

import torch

from ...errors import UsageError

POOL = ("queue_lr", "queue_gt")


def apply() -> None:
    """Mend both models."""
    from basicsr.models import realesrgan_model, realesrnet_model
    from basicsr.utils import DiffJPEG, USMSharp, img_process_util

    for part in (DiffJPEG, USMSharp):
        part.cuda = _stay
    blur = img_process_util.filter2D
    for module in (img_process_util, realesrgan_model, realesrnet_model):
        module.filter2D = lambda image, kernel: blur(image.contiguous(), kernel)  # of which it takes a view
    for model in (realesrgan_model.RealESRGANModel, realesrnet_model.RealESRNetModel):
        _place(model)
        _pool(model)
        _keep(model)


def _stay(module: Any, device: Any = None) -> Any:
    """In place of ``cuda()``; the model moves its parts once it is built."""
    return module


def _place(model: Any) -> None:
    build = model.__init__

    def __init__(self: Any, opt: dict[str, Any]) -> None:
        build(self, opt)
        self.jpeger.to(self.device)
        self.usm_sharpener.to(self.device)

    model.__init__ = __init__


def _pool(model: Any) -> None:
    exchange = model._dequeue_and_enqueue

    def _dequeue_and_enqueue(self: Any) -> None:
        if not hasattr(self, "queue_lr"):
            if self.queue_size % len(self.lq):
                raise UsageError(
                    f"queue_size is {self.queue_size}, which batches of {len(self.lq)} do not divide.",
                    f"Use queue_size: {self.queue_size - self.queue_size % len(self.lq) or len(self.lq)}.",
                )
            self.queue_lr = self.lq.new_zeros(self.queue_size, *self.lq.shape[1:])
            self.queue_gt = self.gt.new_zeros(self.queue_size, *self.gt.shape[1:])
            self.queue_ptr = 0
        exchange(self)

    model._dequeue_and_enqueue = _dequeue_and_enqueue


def _keep(model: Any) -> None:
    """Have checkpoints hold the pool; that of the first process alone, so that the others begin with an empty one."""
    save, resume = model.save_training_state, model.resume_training

    def save_training_state(self: Any, epoch: int, current_iter: int) -> None:
        if hasattr(self, "queue_lr") and hasattr(self, "extra_state"):
            pool = {name: getattr(self, name)[: self.queue_ptr].cpu() for name in POOL}
            self.extra_state = {**self.extra_state, "pool": pool}
        save(self, epoch, current_iter)

    def resume_training(self: Any, resume_state: dict[str, Any]) -> None:
        resume(self, resume_state)
        for name, kept in (resume_state.get("mambair") or {}).get("pool", {}).items():
            pool = torch.zeros(self.queue_size, *kept.shape[1:])
            pool[: len(kept)] = kept
            setattr(self, name, pool.to(self.device))
            self.queue_ptr = len(kept)

    model.save_training_state, model.resume_training = save_training_state, resume_training
