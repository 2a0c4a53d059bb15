"""Training with a discriminator and with degradations made in batches, on the CPU, and resumed to the bit."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from .conftest import checkpoint, differences, edsr, rows, train

NANO = {"type": "MambaIRNano", "upscale": 4, "embed_dim": 8, "depth": 1, "scan_after": [1], "scan_dim": 8}
GAN: dict[str, Any] = {
    "optim_d": {"type": "Adam", "lr": 0.001},
    "gan_opt": {
        "type": "GANLoss",
        "gan_type": "vanilla",
        "real_label_val": 1.0,
        "fake_label_val": 0.0,
        "loss_weight": 0.1,
    },
}
STEPS = {"ESRGANModel": 20, "RealESRGANModel": 5, "RealESRNetModel": 2}
"""Real-ESRGAN's data set makes patches of 400 pixels, whatever the recipe says."""

STOP = 4
PAIRS = {"type": "PairedImageDataset", "dataroot_gt": "large", "dataroot_lq": "small"}
REAL: dict[str, Any] = {
    "type": "RealESRGANDataset",
    "dataroot_gt": "large",
    "meta_info": "list.txt",
    "gt_size": 32,
    "use_hflip": True,
    "use_rot": False,
    "final_sinc_prob": 0.8,
}
KINDS = ["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
for suffix in ("", "2"):
    REAL |= {
        f"blur_kernel_size{suffix}": 21,
        f"kernel_list{suffix}": KINDS,
        f"kernel_prob{suffix}": [0.45, 0.25, 0.12, 0.03, 0.12, 0.03],
        f"sinc_prob{suffix}": 0.1,
        f"blur_sigma{suffix}": [0.2, 3],
        f"betag_range{suffix}": [0.5, 4],
        f"betap_range{suffix}": [1, 2],
    }
BATCHES: dict[str, Any] = {"l1_gt_usm": True, "percep_gt_usm": True, "gan_gt_usm": False, "gt_usm": True}
BATCHES |= {"gt_size": 32, "queue_size": 4, "second_blur_prob": 0.8}
for suffix in ("", "2"):
    BATCHES |= {
        f"resize_prob{suffix}": [0.2, 0.7, 0.1],
        f"resize_range{suffix}": [0.3, 1.5],
        f"gaussian_noise_prob{suffix}": 0.5,
        f"noise_range{suffix}": [1, 30],
        f"poisson_scale_range{suffix}": [0.05, 3],
        f"gray_noise_prob{suffix}": 0.4,
        f"jpeg_range{suffix}": [30, 95],
    }


@pytest.fixture
def large(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures of 128 pixels, and of 32."""
    monkeypatch.setenv("MAMBAIR_DATA", str(place))
    generator = np.random.default_rng(1)
    for name in ("large", "small"):
        (place / name).mkdir()
    for number in range(2):
        high = cv2.resize(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8), (128, 128))
        cv2.imwrite(str(place / "large" / f"{number}.png"), high)
        cv2.imwrite(str(place / "small" / f"{number}.png"), cv2.resize(high, (32, 32), interpolation=cv2.INTER_AREA))
    (place / "list.txt").write_text("0.png\n1.png\n")
    return place


def recipe(model: str, **changes: Any) -> dict[str, Any]:
    """Twenty steps of a tiny network of ours under one of BasicSR's models."""
    made = edsr(model_type=model, scale=4, network_g=dict(NANO), val={}, train__total_iter=STEPS[model])
    data = {"name": "d", "batch_size_per_gpu": 1, "io_backend": {"type": "disk"}}
    data["batch_size_per_gpu"] = 1 + ("Net" in model)
    made["datasets"] = {"train": data | (dict(REAL) if "Real" in model else {**PAIRS, "gt_size": 128})}
    made["logger"] |= {"print_freq": 1, "save_checkpoint_freq": STOP}
    if "GAN" in model:
        made["train"] |= GAN
        kind = "UNetDiscriminatorSN" if "Real" in model else "VGGStyleDiscriminator"
        made["network_d"] = {"type": kind, "num_in_ch": 3, "num_feat": 4}
    return made | (BATCHES if "Real" in model else {}) | changes


@pytest.mark.parametrize("model", ["ESRGANModel", "RealESRGANModel"])
def test_a_stopped_training_ends_as_one_that_was_not(model: str, large: Path) -> None:
    outcome = train(recipe(model, name="straight"))
    assert (outcome.code, outcome.out) == (0, ""), outcome.err
    assert {"l_g_pix", "l_g_gan", "l_d_real", "l_d_fake"} <= rows("straight")[-1].keys()
    expected = latest()
    for path in Path("experiments/straight").glob(f"*/*{STEPS[model]}*"):
        path.unlink()
    assert train(recipe(model, name="straight")).code == 0
    assert len(expected) == 2
    assert differences(expected, latest()) == []
    assert differences(checkpoint("straight", STOP)[0], expected[-1]) != [], "it went on after the stop"


def test_batches_are_degraded_without_a_discriminator(large: Path) -> None:
    outcome = train(recipe("RealESRNetModel"))
    assert (outcome.code, outcome.out) == (0, ""), outcome.err
    assert "l_pix" in rows("tiny")[-1]


def latest() -> list[Any]:
    """The weights at the end, of the discriminator first."""
    paths = sorted(Path("experiments/straight/models").glob("*latest.pth"))
    return [torch.load(path, weights_only=True) for path in paths]


def test_pairs_of_a_list_take_the_place_of_degradations(large: Path) -> None:
    made = recipe("RealESRGANModel", high_order_degradation=False)
    made = {key: value for key, value in made.items() if key not in BATCHES or key.endswith("usm")}
    (large / "pairs.txt").write_text("0.png, 0.png\n1.png, 1.png\n")
    pairs = {**PAIRS, "type": "RealESRGANPairedDataset", "gt_size": 32, "meta_info": "pairs.txt", "use_hflip": True}
    made["datasets"] = {"train": {"name": "d", "batch_size_per_gpu": 2, "io_backend": {"type": "disk"}, **pairs}}
    outcome = train(made)
    assert outcome.code == 0, outcome.err
    (large / "pairs.txt").write_text("0.png, 0.png\n1.png, 7.png\n1.png\n")
    outcome = train(made, "--no-resume")
    assert outcome.code == 1
    assert "small/7.png cannot be read" in outcome.err
    assert "names no pair in '1.png', such as 'good.png, poor.png'" in outcome.err


def test_a_pool_that_batches_do_not_divide_is_named(large: Path) -> None:
    made = recipe("RealESRNetModel", queue_size=3)
    outcome = train(made)
    assert outcome.code != 0
    assert "queue_size is 3, which batches of 2 do not divide" in outcome.err
    assert "Use queue_size: 2." in outcome.err


def test_degradations_of_batches_have_no_defaults(large: Path) -> None:
    made = recipe("RealESRNetModel")
    del made["gt_usm"], made["jpeg_range2"]
    outcome = train(made)
    assert outcome.code == 2
    assert "the recipe lacks 'gt_usm', which RealESRNetModel needs" in outcome.err
    assert "the recipe lacks 'jpeg_range2'" in outcome.err
