"""U-shaped networks against vectors of the authors' code."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mambair_archs import complexity, registry
from mambair_archs.blocks.dimensions import Dimensions
from mambair_archs.blocks.nnunet import BasicResBlock, MambaLayer
from mambair_archs.unet import UShape, finish
from mambair_archs.unets import nnmamba, umamba
from mambair_archs.unets.swin_umamba import SwinUMamba, SwinUMambaD, UnetrUp
from mambair_archs.unets.uvmnet import UVMNet
from mambair_archs.unets.vmambair import VmambaIR
from mambair_archs.unets.vmunet import MambaUNet, VMUNet
from tests.systems import golden

Given = dict[str, Any]


def vmunet(given: Given) -> nn.Module:
    return VMUNet(
        embed_dim=given["dims"][0],
        depths=given["depths"],
        depths_decoder=given["depths_decoder"],
        d_state=given["d_state"],
        out_channels=given["num_classes"],
        output="plain",
    )


def mambaunet(given: Given) -> nn.Module:
    return MambaUNet(
        embed_dim=given["dims"][0], depths=given["depths"], out_channels=given["num_classes"], output="plain"
    )


def u_mamba(given: Given) -> nn.Module:
    kind = given["type"].lower()
    plan = umamba.plan(
        3 if "3d" in kind else 2,
        given["features_per_stage"],
        given["strides"],
        in_channels=given["input_channels"],
        out_channels=given["num_classes"],
        mamba="enc" if "enc" in kind else "bot",
        generation=1 if "generation 1" in kind else 2,
        input_size=given.get("input_size", ()),
    )
    return umamba.UMambaBody(plan)


def outputs(network: nn.Module, *xs: Tensor) -> list[Tensor]:
    found = network(*xs)
    return [found] if isinstance(found, Tensor) else list(found)


def deep(network: nn.Module, x: Tensor) -> list[Tensor]:
    return umamba.run(network, x, deep=True)


def swin_umamba(given: Given) -> nn.Module:
    encoder = given["encoder"]
    return SwinUMamba(
        in_channels=given["in_chans"],
        out_channels=given["out_chans"],
        embed_dim=encoder["dims"][0],
        depths=encoder["depths"],
        generation=1 if "generation 1" in given["type"] else 2,
        norm="instance",
        output="plain",
    )


def swin_umamba_d(given: Given) -> nn.Module:
    vss, classes = given["vss_args"], given["decoder_args"]["num_classes"]
    return SwinUMambaD(
        in_channels=vss["in_chans"], out_channels=classes, embed_dim=vss["dims"], depths=vss["depths"], output="plain"
    )


def nnmamba_seg(given: Given) -> nn.Module:
    return nnmamba.NNMambaSegBody(
        dimensions(given), given["in_ch"], given["channels"], given["blocks"], given["number_classes"]
    )


def nnmamba_encoder(given: Given) -> nn.Module:
    return nnmamba.NNMambaEncoder(
        dimensions(given), given["in_ch"], given["channels"], given["blocks"], given["number_classes"]
    )


def dimensions(given: Given) -> Dimensions:
    return 3 if "3d" in given["type"] else 2


def segmentation(network: Any, x: Tensor) -> list[Tensor]:
    found = nnmamba.features(network, x)
    return [network(x), found["layer3"], found["conv5"]]


def classification(network: Any, x: Tensor) -> list[Tensor]:
    first = network.in_conv(x)
    stem = network.mamba_layer_stem(first)
    return [network(x), stem, network.layer3(network.layer2(network.layer1(stem + first)))]


def uvmnet(given: Given) -> nn.Module:
    corrected = "corrected" in given["type"]
    network = UVMNet(
        widths=given["widths"], grid=given["grid"], channel_branch=True, form="corrected" if corrected else "published"
    )
    if corrected:
        del network.corrected
    network.multiple = 1
    return network


def vmambair(given: Given) -> nn.Module:
    variants = {"Mamber32": "mamber32", "Mamber33": "mamber33", "MambaSISR6": "sisr6", "MambaRealSR11": "realsr11"}
    return VmambaIR(
        variant=variants[given["type"]],
        upscale=given.get("scale", 1),
        dim=given["dim"],
        num_blocks=given["num_blocks"],
        num_refinement_blocks=given["num_refinement_blocks"],
        ffn_expansion=given["ffn_expansion_factor"],
        bias=given["bias"],
    )


def all_outputs(network: Any, x: Tensor) -> list[Tensor]:
    found: list[Tensor] = network.outputs(x)
    return found


BUILDERS: dict[str, tuple[Callable[[Given], nn.Module], Callable[..., list[Tensor]]]] = {
    "vmunet": (vmunet, outputs),
    "mambaunet": (mambaunet, outputs),
    "umamba": (u_mamba, outputs),
    "umamba_bot_2d_deep": (u_mamba, deep),
    "umamba_basic_res_block": (
        lambda g: BasicResBlock(2, g["input_channels"], g["output_channels"], (g["stride"],) * 2, "instance"),
        outputs,
    ),
    "swinumamba": (swin_umamba, outputs),
    "swinumamba_deep": (swin_umamba, all_outputs),
    "swinumamba_dagger": (swin_umamba_d, outputs),
    "swinumamba_up_block": (lambda g: UnetrUp(g["in_channels"], g["out_channels"], "instance"), outputs),
    "nnmamba_seg": (nnmamba_seg, segmentation),
    "nnmamba_encoder": (nnmamba_encoder, classification),
    "uvmnet_published": (uvmnet, outputs),
    "uvmnet_corrected": (uvmnet, outputs),
    "vmambair_derain": (vmambair, outputs),
    "vmambair_sr_x4": (vmambair, outputs),
    "vmambair_realsr_x4": (vmambair, outputs),
    "umamba_layer_tokens": (lambda g: MambaLayer(g["dim"]), outputs),
    "umamba_layer_channels": (lambda g: MambaLayer(g["dim"], over_channels=True), outputs),
}
BLOCKS = ("_expand", "_merging")


def builder(name: str) -> str | None:
    """The longest beginning of the case's name that is known."""
    return (
        None
        if name.endswith(BLOCKS)
        else max((stem for stem in BUILDERS if name.startswith(stem)), key=len, default=None)
    )


@pytest.mark.parametrize("name", [name for name in golden.CASES if builder(name)])
def test_networks_equal_the_authors(name: str) -> None:
    make, run = BUILDERS[str(builder(name))]
    network = make(golden.CASES[name]["network_g"]).eval()
    golden.fill(name, network)
    with torch.no_grad():
        golden.assert_equal(name, network, run(network, *golden.inputs(name)))


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (lambda: VMUNet(out_channels=1, output="plain"), 27_427_561),
        (lambda: VMUNet(), 27_427_611),
        (lambda: VMUNet(depths=[2, 2, 9, 2], depths_decoder=[2, 9, 2, 2], out_channels=1, output="plain"), 44_273_833),
        (lambda: MambaUNet(out_channels=4, output="plain"), 19_121_664),
        (lambda: MambaUNet(), 19_121_568),
        (lambda: MambaUNet(depths=[2, 2, 9, 2], out_channels=4, output="plain"), 35_862_528),
        (lambda: SwinUMamba(norm="instance"), 59_887_068),
        (lambda: SwinUMamba(norm="instance", generation=1, in_channels=1, out_channels=14, output="plain"), 40_425_176),
        (lambda: SwinUMambaD(), 27_492_300),
        (lambda: SwinUMambaD(in_channels=1, out_channels=14, output="plain"), 27_497_720),
        (lambda: nnmamba.NNMambaSegBody(3, 1, 32, 3, 16), 15_959_598),
        (lambda: nnmamba.NNMambaSegBody(2, 3, 32, 3, 3), 5_857_425),
        (lambda: UVMNet(widths=[64, 128, 256, 512, 512], channel_branch=True, form="published"), 1_003_940_200),
        (lambda: UVMNet(widths=[64, 128, 256, 512, 512]), 56_166_760),
        (lambda: VmambaIR(), 28_709_875),
        (lambda: VmambaIR(upscale=4, variant="realsr11", num_blocks=[6, 2, 2, 1], num_refinement_blocks=6), 10_497_813),
        (lambda: VmambaIR(upscale=4, variant="sisr6", num_blocks=[15, 1, 1, 1], num_refinement_blocks=15), 12_028_273),
        (lambda: abdomen(2, "bot", 1), 63_344_180),
        (lambda: abdomen(2, "enc", 1), 67_333_428),
        (lambda: abdomen(2, "bot", 2), 47_533_012),
        (lambda: abdomen(2, "enc", 2), 47_015_538),
        (lambda: abdomen(3, "bot", 1), 58_416_422),
        (lambda: abdomen(3, "enc", 1), 59_690_022),
        (lambda: abdomen(3, "bot", 2), 42_130_054),
        (lambda: abdomen(3, "enc", 2), 42_500_230),
    ],
)
def test_parameters_are_those_of_the_papers(make: Callable[[], nn.Module], parameters: int) -> None:
    with torch.device("meta"):
        assert complexity.parameters(make()) == parameters


def abdomen(dims: Dimensions, mamba: umamba.Place, generation: int) -> nn.Module:
    """The network that nnU-Net plans for abdominal tomographies: 1 channel in, 14 classes out."""
    features = (32, 64, 128, 256, 512, 512, 512) if dims == 2 else (32, 64, 128, 256, 320, 320)
    size = (320, 320) if dims == 2 else (64, 128, 128)
    strides: list[tuple[int, ...]] = [(1,) * dims, *((2,) * dims for _ in features[1:])]
    given = umamba.plan(
        dims, features, strides, in_channels=1, out_channels=14, mamba=mamba, generation=generation, input_size=size
    )
    return umamba.UMambaBody(given)


@pytest.mark.parametrize("form", ["residual", "aod"])
def test_output_forms_and_their_trace_in_the_weights(form: str) -> None:
    network = VMUNet(embed_dim=8, depths=[1, 1], depths_decoder=[1, 1], d_state=2, output=form, detail=True).eval()
    found = registry.identify(network.state_dict())
    assert found.config == network.config
    image = torch.rand(1, 3, 9, 13)
    with torch.no_grad():
        plain = network.body(torch.rand(1, 3, 16, 16))
        out = network(image)
    assert plain.shape == (1, 3, 16, 16)
    assert out.shape == image.shape
    k = torch.tensor([-1.0, 2.0])
    assert finish("aod", k, torch.tensor([0.5, 0.25])).tolist() == [1.0, -0.5]


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (33, 17)])
def test_restoration_heads_take_any_size_and_one_step_lowers_the_error(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    for network in small_networks():
        image = torch.rand(2, 3, *size)
        scale = network.scale
        target = torch.rand(2, 3, size[0] * scale, size[1] * scale)
        optimizer = torch.optim.SGD(network.parameters(), 1e-4)
        error = (network.eval()(image) - target).square().mean()
        error.backward()
        optimizer.step()
        with torch.no_grad():
            assert (network(image) - target).square().mean() < error, type(network).__name__


def small_networks() -> list[UShape]:
    return [
        VMUNet(embed_dim=8, depths=[1, 1], depths_decoder=[1, 1], d_state=2),
        MambaUNet(embed_dim=8, depths=[1, 1], d_state=2, detail=True),
        umamba.UMamba(features=[4, 8, 8]),
        umamba.UMamba(features=[4, 8, 8], generation=1, mamba="enc", norm="instance"),
        SwinUMamba(embed_dim=8, depths=[1, 1, 1, 1], d_state=2),
        SwinUMambaD(embed_dim=8, depths=[1, 1, 1, 1], d_state=2),
        nnmamba.NNMambaSeg(channels=4, blocks=2),
        UVMNet(widths=[4, 4, 6, 6, 6]),
        VmambaIR(dim=4, num_blocks=[1, 1, 1, 1], num_refinement_blocks=1, d_state=2),
        VmambaIR(dim=4, num_blocks=[1, 1, 1, 1], num_refinement_blocks=1, d_state=2, upscale=4, variant="sisr6"),
    ]


def test_small_networks_are_found_by_their_tensors() -> None:
    for network in small_networks():
        assert registry.identify(network.state_dict()).config == network.config


def test_uvm_net_is_small_by_default() -> None:
    assert complexity.parameters(UVMNet()) <= 3_000_000
