"""What memory a step will take, told before a step that the system would end without a word."""

import torch
from torch import Tensor, nn

SMALL = 32
"""Edge in pixels of the part that is run to learn what a pixel takes."""

COPIES = 5
"""Of the weights: themselves, gradients, two averages of Adam, the moving average."""


def of_step(network: nn.Module, patch: Tensor, batch: int) -> int:
    """Least bytes of a step: what the backward pass needs of a small part, for all pixels, and the copies of weights.

    Args:
        network: in training mode, on any device.
        patch: (channels, height, width), one sample.
        batch: samples at a time.
    """
    weights = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in network.parameters()}
    device = next(network.parameters()).device
    part = patch[None, :, :SMALL, :SMALL].contiguous().to(device)
    kept: dict[int, int] = {}

    def note(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.autograd.graph.saved_tensors_hooks(note, lambda saved: saved):
        output = network(part)  # held, so that no memory is given out twice
    pixels = patch.shape[-2] * patch.shape[-1] / (part.shape[-2] * part.shape[-1])
    del output
    return int(sum(kept.values()) * pixels * batch) + COPIES * sum(weights.values())
