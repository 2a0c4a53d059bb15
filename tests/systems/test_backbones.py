"""VMamba and Vim against vectors of the authors' code, the papers' counts, and both namings of VMamba's checkpoints."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mambair_archs import complexity, vim, vmamba
from mambair_archs.config import InferenceError
from mambair_archs.unets.swin_umamba import SwinUMamba
from mambair_archs.unets.vmunet import VMUNet
from tests.systems import golden

Given = dict[str, Any]


def build_vmamba(given: Given) -> nn.Module:
    return vmamba.VMamba(
        depths=given["depths"],
        dim=given["dims"],
        classes=given["num_classes"] if given["type"] == "VSSM" else 0,
        d_state=given["ssm_d_state"],
        ssm_ratio=given["ssm_ratio"],
        mlp_ratio=given["mlp_ratio"],
        version=given["forward_type"],
        conv_bias=given["ssm_conv_bias"],
        gated_mlp=given["gmlp"],
        patch_embed=given["patchembed_version"],
        downsample=given["downsample_version"],
    )


def build_vim(given: Given) -> nn.Module:
    side = given["img_size"] // given["patch_size"]
    return vim.Vim(
        dim=given["embed_dim"],
        depth=given["depth"],
        patch_size=given["patch_size"],
        classes=given["num_classes"],
        positions=side**2 if given["if_abs_pos_embed"] else 0,
        class_token=given["if_cls_token"],
    )


NAMES = [name for name in golden.CASES if name.startswith(("vmamba_backbone", "vmamba_classifier", "vim_"))]


@pytest.mark.parametrize("name", [name for name in NAMES if "mixer" not in name])
def test_backbones_equal_the_authors(name: str) -> None:
    given = golden.CASES[name]["network_g"]
    network = (build_vim if name.startswith("vim") else build_vmamba)(given).eval()
    golden.fill(name, network)
    with torch.no_grad():
        found = network(*golden.inputs(name))
    golden.assert_equal(name, network, [found] if isinstance(found, Tensor) else found)
    infer = vim.infer if name.startswith("vim") else vmamba.infer
    assert infer(network.state_dict()) == network.config


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("v0-T", 22_893_448),
        ("v0-S", 44_417_416),
        ("v0-B", 76_254_056),
        ("s1l8-T", 30_249_064),
        ("s2l15-S", 50_147_752),
        ("s2l15-B", 88_557_800),
        ("s2l5-T", 30_705_832),
        ("s1l20-S", 49_012_840),
        ("s1l20-B", 86_614_504),
    ],
)
def test_parameters_of_vmamba(name: str, parameters: int) -> None:
    with torch.device("meta"):
        network = vmamba.VMamba(**vars(vmamba.preset(name)))
    assert complexity.parameters(network) == parameters
    assert vmamba.infer(network.state_dict()) == vmamba.preset(name)


@pytest.mark.parametrize(("dim", "parameters"), [(192, 7_148_008), (384, 25_796_584), (768, 97_598_440)])
def test_parameters_of_vim(dim: int, parameters: int) -> None:
    with torch.device("meta"):
        assert complexity.parameters(vim.Vim(dim=dim)) == parameters


def first_version() -> vmamba.VMamba:
    """VMamba v0 with the channels of small U-shapes."""
    torch.manual_seed(0)
    small = {"depths": (1, 1, 1, 1), "dim": 8, "d_state": 2, "classes": 5}
    return vmamba.VMamba(**vars(vmamba.preset("v0-T")) | small)


def older_names(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """As release v0 has them."""
    found = {}
    for name, tensor in state_dict.items():
        name = re.sub(r"(\.blocks\.\d+)\.norm\.", r"\1.ln_1.", name).replace(".op.", ".self_attention.")
        name = name.replace("patch_embed.0", "patch_embed.proj").replace("patch_embed.2", "patch_embed.norm")
        found[name.removeprefix("classifier.")] = tensor
    return found


def test_checkpoints_load_under_both_namings() -> None:
    network = first_version()
    image = torch.rand(1, 3, 33, 40)
    expected = network(image)
    older = older_names(network.state_dict())
    assert "norm.weight" in older
    assert "layers.0.blocks.0.self_attention.A_logs" in older
    newer = {
        name: value[..., None, None] if re.search(r"(in_proj|out_proj)\.weight$", name) else value
        for name, value in network.state_dict().items()
    }
    for tensors in (older, newer):
        torch.testing.assert_close(vmamba.load({"model": tensors})(image), expected)


def test_vim_checkpoints_load() -> None:
    network = vim.Vim(dim=16, depth=1, patch_size=4, classes=3, positions=4)
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(vim.load({"model": network.state_dict()})(image), network(image))
    with pytest.raises(ValueError, match="has 6 patches, expected 4"):
        network(torch.rand(1, 3, 8, 12))


def test_u_shapes_start_with_a_pretrained_encoder() -> None:
    backbone = first_version()
    older = older_names(backbone.state_dict())
    unet = VMUNet(embed_dim=8, depths=[1] * 4, depths_decoder=[1] * 4, d_state=2)
    loaded = vmamba.start_encoder(unet, older)
    features, expected = unet.encode(torch.rand(1, 64, 64, 3))[1], backbone.features(torch.rand(1, 3, 64, 64))
    assert [y.shape for y in features] == [y.shape for y in expected]
    own, given = unet.state_dict(), backbone.state_dict()
    for stage in ("layers.2", "layers_up.1"):
        A_logs = own[f"{stage}.blocks.0.self_attention.A_logs"]
        torch.testing.assert_close(A_logs, given["layers.2.blocks.0.op.A_logs"])
    assert "patch_embed.proj.weight" in loaded
    swin = SwinUMamba(embed_dim=8, depths=[1] * 4, d_state=2)
    loaded = vmamba.start_encoder(swin, backbone.state_dict())
    assert "vssm_encoder.downsamples.0.reduction.weight" in loaded
    assert not any("patch_embed" in name for name in loaded)
    with pytest.raises(InferenceError, match="not one block"):
        vmamba.start_encoder(nn.Linear(1, 1), older)
