"""Weights are found in what trainers save, whatever lies around them."""

import argparse
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mambair_archs import MambaIR
from mambair_cli.errors import ModelError
from mambair_cli.weights import loader
from tests.conftest import TINY

Wrap = Callable[[dict[str, Any]], Any]


def below(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    return {prefix + key: value for key, value in tensors.items()}


class Averaged(nn.Module):
    """As in tools for averages: a network beside its average, and counters."""

    def __init__(self, network: nn.Module, average: nn.Module) -> None:
        super().__init__()
        self.online_model, self.ema_model = network, average
        self.register_buffer("initted", torch.tensor(True))
        self.register_buffer("step", torch.tensor(7))


@pytest.fixture(scope="module")
def network() -> MambaIR:
    return MambaIR(**TINY)


WRAPS: dict[str, Wrap] = {
    "bare": lambda t: t,
    "BasicSR": lambda t: {"params": t},
    "an average that was never made": lambda t: {"params_ema": {}, "params": t},
    "ema": lambda t: {"ema": t},
    "model and optimizer": lambda t: {"model": t, "optimizer": {"state": {}, "param_groups": []}},
    "torch's tutorial": lambda t: {"model_state_dict": t, "optimizer_state_dict": {}, "loss": 0.5, "epoch": 3},
    "net": lambda t: {"net": t},
    "compiled": lambda t: {"params": below("_orig_mod.", t)},
    "parallel": lambda t: below("module.", t),
    "parallel and compiled": lambda t: {"model": below("module._orig_mod.", t)},
    "compiled inside": lambda t: below("model._orig_mod.", t),
    "Lightning": lambda t: {"state_dict": below("model.", t), "epoch": 1, "pytorch-lightning_version": "2"},
    "Lightning with a loss": lambda t: {"state_dict": below("net_g.", t) | {"loss.vgg.0.weight": torch.ones(3)}},
    "GAN in one mapping": lambda t: {"state_dict": below("generator.", t) | {"disc.a.weight": torch.ones(2)}},
    "GAN in two": lambda t: {"netG": t, "netD": {"conv.weight": torch.ones(2), "conv.bias": torch.ones(2)}},
    "nested": lambda t: {"state": {"networks": {"g": {"params": t}}}},
    "a pair": lambda t: (t, {"epoch": 3}),
    "deeper": lambda t: {"a": {"b": {"c": {"d": {"e": below("model.module._orig_mod.net.", t)}}}}},
    "compiled layers": lambda t: {key.replace("layers.0.", "layers.0._orig_mod."): value for key, value in t.items()},
    "checkpointed layers": lambda t: below(
        "_fsdp_wrapped_module.",
        {key.replace(".blocks.0.", ".blocks.0._checkpoint_wrapped_module."): value for key, value in t.items()},
    ),
    "settings": lambda t: {"model": t, "args": argparse.Namespace(out=Path("x"), when=datetime(2020, 1, 1))},
    "scores": lambda t: {"model": t, "best": np.float64(3), "history": np.arange(3.0)},
    "tensors in a defaultdict": lambda t: {"nets": defaultdict(dict, {"g": t})},
    "numbers beside the tensors": lambda t: {**t, "epoch": 3},
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_every_layout_is_recognised(wrap: Wrap, network: MambaIR, tmp_path: Path) -> None:
    torch.save(wrap(network.state_dict()), tmp_path / "a.pth")
    model = loader.load(tmp_path / "a.pth", "cpu")
    found = model.network.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in network.state_dict().items())


def test_prefixes_in_safetensors(network: MambaIR, tmp_path: Path) -> None:
    save_file(below("_orig_mod.", network.state_dict()), tmp_path / "a.safetensors")
    assert loader.load(tmp_path / "a.safetensors", "cpu").architecture == "MambaIR"


def test_averaged_weights_come_first(network: MambaIR, tmp_path: Path) -> None:
    torch.manual_seed(1)
    average = MambaIR(**TINY)
    tensors, averaged = network.state_dict(), average.state_dict()
    for content in (
        {"params": tensors, "params_ema": averaged},
        {"state_dict": below("net_g.", tensors) | below("net_g_ema.", averaged)},
        Averaged(network, average).state_dict(),
        {"model": tensors, "model_ema": averaged},
        {"net": tensors, "netEMA": averaged},
        {"model": tensors, "averaged_model": below("module.", averaged) | {"n_averaged": torch.tensor(3)}},
    ):
        torch.save(content, tmp_path / "a.pth")
        found = loader.load(tmp_path / "a.pth", "cpu").network.state_dict()
        assert all(torch.equal(value, found[key]) for key, value in averaged.items())


def test_what_fits_nothing_says_what_is_closest(network: MambaIR, tmp_path: Path) -> None:
    tensors = below("module.", network.state_dict())
    del tensors["module.conv_first.weight"]
    torch.save({"params": tensors}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"closest is MambaIR: conv_first\.weight is missing"):
        loader.load(tmp_path / "a.pth", "cpu")
