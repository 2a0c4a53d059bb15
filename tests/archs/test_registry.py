"""Recognising weights: odd configurations come back exactly, and what fits nothing is explained."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mambair_archs import MambaIR, MambaIRDehaze, MambaIRUNet, MambaIRv2, MambaIRv2Light, UnknownWeightsError, identify
from mambair_archs.mambair import BLOCK
from mambair_archs.mambairv2 import LAYER

ODD: list[tuple[type[nn.Module], dict[str, Any]]] = [
    (MambaIR, {"upscale": 3, "upsampler": "pixelshuffledirect", "embed_dim": 37, "depths": (1, 3, 2), "d_state": 7}),
    (MambaIR, {"upscale": 8, "upsampler": "pixelshuffle", "embed_dim": 64, "depths": (2,), "mlp_ratio": 1.37}),
    (
        MambaIR,
        {"upscale": 2, "upsampler": "pixelshuffle", "embed_dim": 61, "depths": (1, 1), "resi_connection": "3conv"},
    ),
    (MambaIR, {"upscale": 1, "in_chans": 1, "embed_dim": 90, "depths": (1,), "compress_ratio": 5, "mlp_ratio": 0.4}),
    (MambaIR, {"upscale": 5, "upsampler": "pixelshuffledirect", "in_chans": 1, "conv_block": "depthwise"}),
    (MambaIR, {"upscale": 2, "upsampler": "pixelshuffledirect", "conv_block": "bottleneck", "compress_ratio": 6}),
    (MambaIR, {"upscale": 1, "embed_dim": 48, "depths": (11,), "squeeze_factor": 16, "d_state": 1}),
    (MambaIR, {"upscale": 1, "embed_dim": 48, "depths": (2,), "unshuffle": 2}),
    (MambaIR, {"upscale": 1, "in_chans": 1, "embed_dim": 48, "depths": (2,), "unshuffle": 4}),
    (MambaIRUNet, {"dim": 38, "num_blocks": (1, 2, 1, 3), "num_refinement_blocks": 2, "mlp_ratio": 1.3, "d_state": 5}),
    (MambaIRUNet, {"dim": 30, "num_blocks": (2, 1, 1, 1), "bias": True, "inp_channels": 1, "out_channels": 1}),
    (MambaIRUNet, {"dim": 32, "num_blocks": (1, 1, 1, 1), "inp_channels": 6, "dual_pixel_task": True}),
    (
        MambaIRDehaze,
        {
            "dims": (9, 17, 24, 31),
            "num_blocks": (2, 1, 3),
            "num_decoder_blocks": (2, 1),
            "d_state": 5,
            "mlp_ratio": 1.3,
        },
    ),
    (MambaIRv2, {"upscale": 3, "upsampler": "pixelshuffle", "embed_dim": 15, "depths": (2, 1), "num_heads": (5, 3)}),
    (MambaIRv2, {"upscale": 4, "upsampler": "nearest+conv", "embed_dim": 9, "depths": (1,), "num_heads": (3,)}),
    (MambaIRv2, {"upscale": 1, "in_chans": 1, "embed_dim": 10, "depths": (1,), "num_heads": (2,), "qkv_bias": False}),
    (
        MambaIRv2Light,
        {
            "upscale": 2,
            "upsampler": "pixelshuffledirect",
            "embed_dim": 14,
            "depths": (1, 2),
            "num_heads": (7, 2),
            "window_size": 6,
            "inner_rank": 11,
            "num_tokens": 13,
            "convffn_kernel_size": 3,
            "mlp_ratio": 1.5,
            "d_state": 9,
        },
    ),
]


def tensors(network: type[nn.Module], options: dict[str, Any]) -> dict[str, Tensor]:
    with torch.device("meta"):
        return dict(network(**options).state_dict())


@pytest.mark.parametrize(("network", "options"), ODD)
def test_odd_configurations_come_back_from_their_tensors(network: type[nn.Module], options: dict[str, Any]) -> None:
    with torch.device("meta"):
        original: Any = network(**options)
    found = identify(original.state_dict())
    assert found.architecture.network is network
    rebuilt = found.build("meta").state_dict()
    assert {key: value.shape for key, value in rebuilt.items()} == {
        key: value.shape for key, value in original.state_dict().items()
    }
    different = {key for key, value in vars(original.config).items() if vars(found.config)[key] != value}
    assert different <= {"mlp_ratio"}  # several ratios give the same widths
    assert found.descriptor.scale == options.get("upscale", 1)


LIGHT: tuple[type[nn.Module], dict[str, Any]] = (MambaIR, {"upscale": 2, "upsampler": "pixelshuffledirect"})


def error_for(state_dict: dict[str, Tensor]) -> UnknownWeightsError:
    with pytest.raises(UnknownWeightsError) as caught:
        identify(state_dict)
    return caught.value


def test_a_missing_and_a_surplus_key_are_named() -> None:
    state_dict = tensors(*LIGHT)
    del state_dict["norm.bias"]
    state_dict["extra"] = torch.zeros(3)
    error = error_for(state_dict)
    assert error.closest == "MambaIR"
    assert error.differences == ["norm.bias is missing", "extra is not part of it"]


def test_a_wrong_shape_is_named_with_both_shapes() -> None:
    state_dict = tensors(*LIGHT)
    state_dict["layers.2.conv.weight"] = torch.zeros(60, 60, 1, 1)
    assert error_for(state_dict).differences == ["layers.2.conv.weight is (60, 60, 1, 1) instead of (60, 60, 3, 3)"]


def test_only_the_first_differences_are_listed() -> None:
    state_dict = tensors(*LIGHT) | {f"extra{k}": torch.zeros(1) for k in range(10)}
    assert error_for(state_dict).differences[-1] == "7 more"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("conv_first.weight", "conv_first.weight is missing"),
        ("layers.0.residual_group.blocks.0.self_attention.in_proj.weight", "in_proj.weight is missing"),
        ("layers.0.residual_group.blocks.0.conv_blk.cab.5.attention.1.weight", "attention.1.weight is missing"),
        ("layers.0.residual_group.blocks.0.self_attention.A_logs", "blocks.0.self_attention.A_logs is missing"),
    ],
)
def test_a_key_needed_for_the_configuration_is_named(key: str, expected: str) -> None:
    state_dict = tensors(*LIGHT)
    del state_dict[key]
    assert expected in error_for(state_dict).differences[0]


DECISIVE: list[tuple[type[nn.Module], list[str]]] = [
    (
        MambaIR,
        ["conv_first.weight", "upsample.0.weight", f"{BLOCK}self_attention.A_logs", f"{BLOCK}conv_blk.cab.0.weight"],
    ),
    (MambaIRUNet, ["patch_embed.proj.weight", "output.weight", "latent.0.self_attention.in_proj.weight"]),
    (MambaIRDehaze, ["stem.weight", "downs.2.weight", "encoder.0.0.self_attention.A_logs"]),
    (MambaIRv2Light, [f"{LAYER}win_mhsa.relative_position_bias_table", f"{LAYER}embeddingA.weight"]),
]


@pytest.mark.parametrize("wrong", [(), (3,), (0, 3), (3, 0, 3, 3)])
@pytest.mark.parametrize(("network", "keys"), DECISIVE)
def test_tensors_of_impossible_shape_are_named(
    network: type[nn.Module], keys: list[str], wrong: tuple[int, ...]
) -> None:
    state_dict = tensors(network, {} if network in (MambaIRUNet, MambaIRDehaze) else LIGHT[1])
    for key in keys:
        error = error_for(state_dict | {key: torch.zeros(wrong)})
        assert error.closest == network.__name__
        assert key in error.differences[0]


def test_values_of_another_kind_are_named() -> None:
    state_dict = tensors(*LIGHT) | {"norm.bias": torch.zeros(60, dtype=torch.int8)}
    assert error_for(state_dict).differences == ["norm.bias holds int8 values"]


def test_a_scale_that_fits_nothing() -> None:
    state_dict = tensors(*LIGHT) | {"upsample.0.weight": torch.zeros(13, 60, 3, 3)}
    assert "fit no scale" in error_for(state_dict).differences[0]


def test_weights_of_another_network_get_the_closest_or_none() -> None:
    foreign = {"conv_first.weight": torch.zeros(60, 3, 3, 3), "body.0.weight": torch.zeros(3)}
    assert error_for(foreign).closest is not None
    stranger = error_for({"encoder.weight": torch.zeros(1)})
    assert stranger.closest is None
    assert "encoder.weight" in str(stranger)
    assert "no tensors" in str(error_for({}))
