"""A network whose operations are not compiled is refused before the first step, which would end in a NameError."""

from typing import Any

import pytest
from torch import nn

from mambair_cli.errors import MambairError
from mambair_cli.training.basicsr import compiled

STYLE = {"type": "StyleGAN2Generator", "out_size": 8, "num_style_feat": 4, "num_mlp": 1, "channel_multiplier": 1}
EDVR = {"type": "EDVR", "num_feat": 4, "num_frame": 3, "deformable_groups": 1, "num_extract_block": 1}


def built(options: dict[str, Any]) -> nn.Module:
    from basicsr.archs import build_network

    network: nn.Module = build_network(dict(options))
    return network


def test_fused_activations_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from basicsr.ops.fused_act import fused_act

    network = built(STYLE)
    monkeypatch.delattr(fused_act, "fused_act_ext", raising=False)
    with pytest.raises(MambairError, match="StyleGAN2Generator computes with a fused activation") as caught:
        compiled.check(network)
    assert "BASICSR_JIT=True" in caught.value.hint
    monkeypatch.setattr(fused_act, "fused_act_ext", object(), raising=False)
    compiled.check(network)


def test_deformable_convolutions_may_come_from_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    network = built(EDVR)
    monkeypatch.delattr(torchvision.ops, "deform_conv2d", raising=False)
    with pytest.raises(MambairError, match="EDVR computes with a deformable convolution"):
        compiled.check(network)
    monkeypatch.setattr(torchvision.ops, "deform_conv2d", object(), raising=False)
    compiled.check(network)
