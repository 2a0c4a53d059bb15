"""Blocks of the other systems against vectors of the authors' code, and their gradients against float64."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mambair_archs.blocks.local_scan import ES2D, EVSSBlock, LocalSS2D, LocalVimMixer
from mambair_archs.blocks.mamba import BidirectionalMamba, Mamba
from mambair_archs.blocks.miccss import MICCSS, res_mamba_stage
from mambair_archs.blocks.omni_scan import OmniBlock, OmniScan
from mambair_archs.blocks.patches import PatchExpand, PatchMerging
from mambair_archs.blocks.plain_mamba import PlainMamba2D, PlainMambaLayer
from mambair_archs.blocks.selective_scan import SS2D
from mambair_archs.blocks.uvm import UVMB
from mambair_archs.blocks.vss import VMambaBlock, ss2d
from mambair_archs.s4d import S4D
from mambair_kernels import dispatch
from mambair_kernels.cpu import native
from mambair_kernels.paths import OMNIDIRECTIONAL
from tests.systems import golden

Layout = Callable[[nn.Module, Tensor], Tensor]


def plain(network: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = network(x)
    return out


def channels_first(network: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = network(x.permute(0, 2, 3, 1))
    return out.permute(0, 3, 1, 2)


def grid(height: int, width: int) -> Layout:
    def run(network: nn.Module, x: Tensor) -> Tensor:
        out: Tensor = network(x.unflatten(1, (height, width)))
        return out.flatten(1, 2)

    return run


def vmamba_ss2d(given: dict[str, Any]) -> SS2D:
    return ss2d(
        given["forward_type"], given["d_model"], given["d_state"], given["ssm_ratio"], given.get("conv_bias", True)
    )


def vmamba_block(given: dict[str, Any]) -> VMambaBlock:
    version, bias = given["forward_type"], given.get("ssm_conv_bias", True)
    return VMambaBlock(
        given["hidden_dim"],
        given["ssm_d_state"],
        given["ssm_ratio"],
        given["mlp_ratio"],
        version,
        bias,
        given.get("gmlp", False),
    )


def omni_block(given: dict[str, Any]) -> OmniBlock:
    return OmniBlock(given["dim"], given["variant"], expansion=given["ffn_expansion_factor"], bias=given["bias"])


def vim_mixer(given: dict[str, Any]) -> BidirectionalMamba:
    halve, scale = given["if_divide_out"], given.get("init_layer_scale")
    return BidirectionalMamba(given["d_model"], given.get("d_state", 16), halve=halve, layer_scale=scale)


BUILDERS: dict[str, tuple[Callable[[dict[str, Any]], nn.Module], Layout]] = {
    "mamba_block": (lambda g: Mamba(g["d_model"], g["d_state"], g["d_conv"], g["expand"]), plain),
    "vim_mixer": (vim_mixer, plain),
    "vmamba_ss2d_v0": (vmamba_ss2d, plain),
    "vmamba_ss2d_v05": (vmamba_ss2d, channels_first),
    "vmamba_block_v0": (vmamba_block, plain),
    "vmamba_block_v05": (vmamba_block, channels_first),
    "vmunet_patch_merging": (lambda g: PatchMerging(g["dim"], pad=False), plain),
    "vmunet_patch_expand": (lambda g: PatchExpand(2 * g["dim"], g["dim"], 2), plain),
    "vmunet_final_expand": (lambda g: PatchExpand(g["dim"], g["dim"] // 4, 4), plain),
    "mambaunet_patch_expand": (lambda g: PatchExpand(g["dim"], g["dim"] // 2, 2), plain),
    "mambaunet_final_expand": (lambda g: PatchExpand(g["dim"], g["dim"], 4), plain),
    "localmamba_ss2d": (
        lambda g: LocalSS2D(g["d_model"], g["d_state"], 2 * g["d_model"], tuple(g["directions"])),
        plain,
    ),
    "localmamba_vim_mixer": (lambda g: LocalVimMixer(g["d_model"], tuple(g["directions"])), grid(6, 6)),
    "efficientvmamba_es2d": (lambda g: ES2D(g["d_model"], g["d_state"], 2 * g["d_model"]), plain),
    "efficientvmamba_block": (lambda g: EVSSBlock(g["hidden_dim"], g["ssm_d_state"]), plain),
    "plainmamba_corrected": (lambda g: PlainMamba2D(g["d_model"]), grid(5, 7)),
    "plainmamba_published": (lambda g: PlainMamba2D(g["d_model"], published=True), grid(5, 7)),
    "plainmamba_layer": (lambda g: PlainMambaLayer(g["embed_dims"], published=True), grid(5, 7)),
    "rsmamba_ossm": (lambda g: SS2D(g["d_model"], g["d_state"], 2 * g["d_model"], OMNIDIRECTIONAL), plain),
    "nnmamba_miccss_2d": (lambda g: MICCSS(2, g["dim"]), plain),
    "nnmamba_miccss_3d": (lambda g: MICCSS(3, g["dim"]), plain),
    "nnmamba_stage_2d": (lambda g: res_mamba_stage(2, g["inplanes"], g["planes"], g["blocks"]), plain),
    "nnmamba_stage_3d": (lambda g: res_mamba_stage(3, g["inplanes"], g["planes"], g["blocks"]), plain),
    "uvmnet_block_corrected": (lambda g: UVMB(g["c"], g["w"], g["channel_branch"]), plain),
    "uvmnet_block_published": (lambda g: UVMB(g["c"], g["w"], form="published"), plain),
    "vmambair_block": (omni_block, channels_first),
    "vmambair_oss": (lambda g: OmniScan(g["d_model"], g["variant"]), channels_first),
}


def builder(name: str) -> str | None:
    """The longest beginning of the case's name that is known."""
    return max((stem for stem in BUILDERS if name.startswith(stem)), key=len, default=None)


NAMES = [name for name in golden.CASES if builder(name)]


def build(name: str) -> tuple[nn.Module, Layout]:
    make, layout = BUILDERS[str(builder(name))]
    network = make(golden.CASES[name]["network_g"]).eval()
    golden.fill(name, network)
    return network, layout


@pytest.mark.parametrize("name", NAMES)
def test_blocks_equal_the_authors(name: str) -> None:
    network, layout = build(name)
    (x,) = golden.inputs(name)
    with torch.no_grad():
        golden.assert_equal(name, network, [layout(network, x)])


def test_s4d_layer() -> None:
    given = golden.CASES["s4d_layer"]["network_g"]
    network = S4D(given["d_model"], given["d_state"]).eval()
    golden.fill("s4d_layer", network)
    (u,) = golden.inputs("s4d_layer")
    golden.assert_equal("s4d_layer", network, [network(u), network.kernel(u.shape[-1])])


def gradients(network: nn.Module, layout: Layout, x: Tensor) -> dict[str, Tensor]:
    """Of a loss that weighs every output differently."""
    x = x.clone().requires_grad_()
    y = layout(network, x)
    loss = (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).sin().view_as(y)).sum()
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, [x, *parameters], allow_unused=True)
    return {name: grad for name, grad in zip(["input", *names], found, strict=True) if grad is not None}


@pytest.mark.skipif(not native.built(), reason="this installation has no native library")
@pytest.mark.parametrize("name", sorted({str(builder(name)): name for name in NAMES}.values()))
def test_gradients_equal_those_of_the_reference_in_double_precision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, layout = build(name)
    (x,) = golden.inputs(name)
    with monkeypatch.context() as patch:
        patch.setenv(dispatch.VARIABLE, "reference")
        wanted = gradients(copy.deepcopy(network).double(), layout, x.double())
    monkeypatch.setenv(dispatch.VARIABLE, "cpu")
    found = gradients(network, layout, x)
    assert found.keys() == wanted.keys()
    largest = max(float(grad.norm()) for grad in wanted.values())
    for key, grad in wanted.items():
        error = float((found[key].double() - grad).norm())
        assert error <= 2e-4 * max(float(grad.norm()), 1e-2 * largest), f"{key}: {error / float(grad.norm()):.1e}"
