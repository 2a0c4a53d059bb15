"""Behaviour that no golden vector shows: any size, determinism, gradients, initialisation, refused options."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mambair_archs import MambaIR, MambaIRDehaze, MambaIRUNet, MambaIRv2, MambaIRv2Light
from mambair_archs.blocks.padding import pad_to_multiple
from mambair_archs.blocks.residual import DropPath
from tests.conftest import TINY, TINY_V2

SMALL_UNET: dict[str, Any] = {"dim": 30, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1, "d_state": 2}
SMALL_DEHAZE: dict[str, Any] = {
    "dims": (8, 9, 10, 11),
    "num_blocks": (1, 1, 1),
    "num_decoder_blocks": (1, 1),
    "d_state": 2,
}
NETWORKS: dict[str, tuple[type[nn.Module], dict[str, Any], int]] = {
    "light": (MambaIR, TINY | {"upscale": 3}, 3),
    "classic": (MambaIR, TINY | {"upscale": 4, "upsampler": "pixelshuffle"}, 4),
    "denoise": (MambaIR, TINY | {"upscale": 1, "upsampler": ""}, 1),
    "unshuffled": (MambaIR, TINY | {"upscale": 1, "upsampler": "", "unshuffle": 2}, 1),
    "unet": (MambaIRUNet, SMALL_UNET, 1),
    "dehaze": (MambaIRDehaze, SMALL_DEHAZE, 1),
    "v2": (MambaIRv2, TINY_V2 | {"upsampler": "pixelshuffle"}, 2),
    "v2 nearest": (MambaIRv2, TINY_V2 | {"upscale": 4, "upsampler": "nearest+conv"}, 4),
    "v2 light": (MambaIRv2Light, TINY_V2, 2),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (17, 23)])
def test_any_size_works_and_twice_the_same(name: str, size: tuple[int, int]) -> None:
    network, options, scale = NETWORKS[name]
    model = network(**options).eval()
    x = torch.rand(2, 3, *size)
    with torch.inference_mode():
        y = model(x)
        assert torch.equal(y, model(x))
        alone = model(x[1:])
    assert y.shape == (2, 3, size[0] * scale, size[1] * scale)
    assert y.isfinite().all()
    torch.testing.assert_close(y[1:], alone, rtol=0, atol=1e-5)  # images of a batch do not mix


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_checkpointing_gives_the_same_gradients_with_less_kept(name: str) -> None:
    network, options, _ = NETWORKS[name]
    if "depths" in options:
        options = (
            options | {"depths": (6,), "num_heads": (2,)} if "num_heads" in options else options | {"depths": (6,)}
        )
    x = torch.rand(1, 3, 9, 10)
    results = []
    for use_checkpoint in (False, True):
        torch.manual_seed(5)
        model = network(**options, use_checkpoint=use_checkpoint)
        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t) or t, lambda t: t):  # type: ignore[misc]
            torch.manual_seed(6)  # drop path draws the same
            loss = model.train()(x).square().sum()
        loss.backward()
        results.append(([parameter.grad for parameter in model.parameters()], sum(t.numel() for t in kept)))
    (plain, much), (checkpointed, little) = results
    assert little < 0.75 * much
    for a, b in zip(plain, checkpointed, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_learns(name: str) -> None:
    network, options, _ = NETWORKS[name]
    model = network(**options)
    model(torch.rand(1, 3, 12, 12)).square().sum().backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", ["light", "v2 light"])
def test_training_under_autocast(name: str) -> None:
    network, options, _ = NETWORKS[name]
    model = network(**options)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(torch.rand(1, 3, 8, 8)).float().square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_stochastic_routing_is_random_and_off_by_default() -> None:
    x = torch.rand(1, 3, 16, 16)
    model = MambaIRv2Light(**TINY_V2, stochastic_routing=True).eval()
    with torch.inference_mode():
        assert not torch.equal(model(x), model(x))
    assert MambaIRv2Light(**TINY_V2).config.stochastic_routing is False


def test_initialisation_of_the_scan_is_mambas() -> None:
    scan = MambaIR(**TINY).get_submodule("layers.0.residual_group.blocks.0.self_attention")
    dt = nn.functional.softplus(scan.get_parameter("dt_projs_bias"))
    assert dt.min() >= 1e-3 - 1e-6
    assert dt.max() <= 0.1 + 1e-6
    torch.testing.assert_close(scan.get_parameter("A_logs").exp(), torch.arange(1.0, 5).expand(4 * 36, 4))
    assert torch.equal(scan.get_parameter("Ds"), torch.ones(4 * 36))


def test_drop_path_keeps_the_expectation_and_rests_in_eval() -> None:
    layer, x = DropPath(0.25), torch.ones(4000, 2, 1)
    dropped = layer.train()(x)
    assert sorted(dropped[:, 0].unique().tolist()) == pytest.approx([0, 4 / 3])
    assert torch.equal(dropped[:, 0], dropped[:, 1])
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)
    assert torch.equal(layer.eval()(x), x)


def test_drop_path_rates_rise_to_the_last_block() -> None:
    rates = [module.rate for module in MambaIR(**TINY | {"depths": (2, 3)}).modules() if isinstance(module, DropPath)]
    assert rates == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])


@pytest.mark.parametrize("repeat_edge", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 2), (7, 16)])
def test_padding_is_numpys(size: tuple[int, int], repeat_edge: bool) -> None:
    x = np.random.default_rng(0).random((1, *size, 2), dtype=np.float32)
    rows, columns = (-n % 8 for n in size)
    expected = np.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0)), "symmetric" if repeat_edge else "reflect")
    assert np.array_equal(pad_to_multiple(torch.from_numpy(x), 8, repeat_edge).numpy(), expected)


@pytest.mark.parametrize(
    ("network", "options", "error", "message"),
    [
        (MambaIR, {"embed_dimm": 60}, TypeError, "embed_dimm.*did you mean 'embed_dim'"),
        (MambaIR, {"window": 1}, TypeError, "has no option 'window'"),
        (MambaIR, {"upsampler": "bilinear"}, ValueError, "bilinear"),
        (MambaIR, {"upsampler": "pixelshuffle", "upscale": 5}, ValueError, "scale of 5"),
        (MambaIR, {"upscale": 1, "upsampler": "", "resi_connection": "2conv"}, ValueError, "2conv"),
        (MambaIR, {"upscale": 1, "upsampler": "", "embed_dim": 20}, ValueError, "squeeze_factor"),
        (MambaIR, {"upscale": 1, "upsampler": "", "depths": ()}, ValueError, "at least 1"),
        (MambaIR, {"upscale": 2, "upsampler": "pixelshuffledirect", "unshuffle": 2}, ValueError, "unshuffle 2"),
        (MambaIR, {"unshuffle": 0}, ValueError, "unshuffle 0"),
        (MambaIR, {"unshuffle": 2, "in_chans": 6}, ValueError, "unshuffle 2"),
        (MambaIRv2, TINY_V2 | {"num_heads": (5,)}, ValueError, "num_heads"),
        (MambaIRv2, TINY_V2 | {"num_heads": (2, 2)}, ValueError, "2 entries for 1 groups"),
        (MambaIRv2, TINY_V2 | {"window_size": 1}, ValueError, "window_size"),
        (MambaIRUNet, {"num_blocks": (1, 2)}, ValueError, "num_blocks"),
        (MambaIRUNet, {"dim": 31}, ValueError, "dim"),
        (MambaIRUNet, {"inp_channels": 1}, ValueError, "inp_channels"),
        (MambaIRDehaze, {"dims": (8, 16, 32)}, ValueError, "dims"),
        (MambaIRDehaze, {"num_blocks": (1, 0, 1)}, ValueError, "num_blocks"),
        (MambaIRDehaze, {"num_decoder_blocks": (1,)}, ValueError, "num_decoder_blocks"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    network: type[nn.Module], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        network(**options)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_wrong_number_of_channels_is_refused(name: str) -> None:
    network, options, _ = NETWORKS[name]
    with pytest.raises(ValueError, match=r"expected \(batch, 3"):
        network(**options)(torch.rand(1, 1, 8, 8))


def test_dual_pixel_network_takes_two_views() -> None:
    model = MambaIRUNet(**SMALL_UNET, inp_channels=6, dual_pixel_task=True).eval()
    with torch.inference_mode():
        assert model(torch.rand(1, 6, 9, 11)).shape == (1, 3, 9, 11)
