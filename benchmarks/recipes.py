"""Which published recipes are taken: the keys of each kind that BasicSR 1.4.2 comes with, and what is said of it.

``python -m benchmarks.recipes`` prints the table. Keys are written down here, values are small ones of the same type;
nothing is trained, since that needs each recipe's data.
"""

import sys
import tempfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from mambair_cli.training.recipe.reading import RecipeError, read_recipe

Recipe = dict[str, Any]

DISK, LMDB = {"type": "disk"}, {"type": "lmdb"}
LOADED: Recipe = {
    "use_shuffle": True,
    "num_worker_per_gpu": 1,
    "batch_size_per_gpu": 2,
    "dataset_enlarge_ratio": 2,
    "prefetch_mode": None,
}
ADAM: Recipe = {"type": "Adam", "lr": 1e-4, "weight_decay": 0, "betas": [0.9, 0.99]}
STEPS: Recipe = {"type": "MultiStepLR", "milestones": [20, 40], "gamma": 0.5}
WAVES: Recipe = {"type": "CosineAnnealingRestartLR", "periods": [50, 50], "restart_weights": [1, 1], "eta_min": 1e-7}
L1: Recipe = {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}
CHARBONNIER: Recipe = {"type": "CharbonnierLoss", "loss_weight": 1.0, "reduction": "sum"}
VGG: Recipe = {
    "type": "PerceptualLoss",
    "layer_weights": {"conv5_4": 1},
    "vgg_type": "vgg19",
    "use_input_norm": True,
    "range_norm": False,
    "perceptual_weight": 1.0,
    "style_weight": 0,
    "criterion": "l1",
}
GAN: Recipe = {
    "type": "GANLoss",
    "gan_type": "vanilla",
    "real_label_val": 1.0,
    "fake_label_val": 0.0,
    "loss_weight": 0.005,
}
PSNR: Recipe = {"type": "calculate_psnr", "crop_border": 4, "test_y_channel": False}
LOGGER: Recipe = {
    "print_freq": 100,
    "save_checkpoint_freq": 5e3,
    "use_tb_logger": True,
    "wandb": {"project": None, "resume_id": None},
}
PAIRS: Recipe = {
    "name": "p",
    "type": "PairedImageDataset",
    "dataroot_gt": "hr",
    "dataroot_lq": "lr",
    "io_backend": DISK,
}
VIDEO: Recipe = {"name": "REDS4", "dataroot_gt": "hr", "dataroot_lq": "lr", "io_backend": DISK, "cache_data": False}
WITHOUT: Recipe = {"name": "s", "type": "SingleImageDataset", "dataroot_lq": "lr", "io_backend": DISK}


def training(model: str, network: Recipe, data: Recipe, val: Recipe | None, scale: int = 4, **train: Any) -> Recipe:
    """A recipe for training, in the order of the published ones."""
    recipe: Recipe = {"name": "published", "model_type": model, "scale": scale, "num_gpu": 8, "manual_seed": 0}
    recipe["datasets"] = {"train": data | LOADED} | ({"val": val} if val else {})
    recipe["network_g"] = network
    recipe["path"] = {"pretrain_network_g": None, "strict_load_g": True, "resume_state": None}
    optimisation = {"optim_g": ADAM, "scheduler": STEPS, "total_iter": 100, "warmup_iter": -1, "pixel_opt": L1}
    recipe["train"] = {key: value for key, value in (optimisation | train).items() if value is not None}
    recipe["val"] = {"val_freq": 5e3, "save_img": False, "metrics": {"psnr": PSNR}}
    recipe["logger"] = LOGGER
    recipe["dist_params"] = {"backend": "nccl", "port": 29500}
    return recipe


def measuring(model: str, network: Recipe, data: Recipe, scale: int = 4, **val: Any) -> Recipe:
    """A recipe for a test."""
    recipe: Recipe = {"name": "published", "model_type": model, "scale": scale, "num_gpu": 1, "manual_seed": 0}
    recipe["datasets"] = {"test_1": data, "test_2": data}
    recipe["network_g"] = network
    recipe["path"] = {"pretrain_network_g": "experiments/x.pth", "strict_load_g": True}
    recipe["val"] = {"save_img": True, "suffix": None, "metrics": {"psnr": PSNR}} | val
    return recipe


EDSR: Recipe = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_block": 16, "upscale": 4}
EDSR |= {"res_scale": 1, "img_range": 255.0, "rgb_mean": [0.4488, 0.4371, 0.4040]}
RESNET: Recipe = {"type": "MSRResNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_block": 16, "upscale": 4}
RRDB: Recipe = {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_block": 23, "num_grow_ch": 32}
SWIN: Recipe = {"type": "SwinIR", "upscale": 4, "in_chans": 3, "img_size": 48, "window_size": 8, "img_range": 1.0}
SWIN |= {"depths": [6], "embed_dim": 180, "num_heads": [6], "mlp_ratio": 2, "upsampler": "pixelshuffle"}
SWIN |= {"resi_connection": "1conv"}
RCAN: Recipe = {"type": "RCAN", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_group": 10, "num_block": 20}
RCAN |= {"squeeze_factor": 16, "upscale": 4, "res_scale": 1, "img_range": 255.0, "rgb_mean": [0.4, 0.4, 0.4]}
ECBSR: Recipe = {"type": "ECBSR", "num_in_ch": 1, "num_out_ch": 1, "num_block": 4, "num_channel": 16}
ECBSR |= {"with_idt": False, "act_type": "prelu", "scale": 4}
EDVR: Recipe = {"type": "EDVR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_frame": 5, "hr_in": False}
EDVR |= {"deformable_groups": 8, "num_extract_block": 5, "num_reconstruct_block": 10, "center_frame_idx": None}
EDVR |= {"with_predeblur": False, "with_tsa": True}
BASICVSR: Recipe = {"type": "BasicVSR", "num_feat": 64, "num_block": 30, "spynet_path": "spynet.pth"}
ICONVSR: Recipe = BASICVSR | {"type": "IconVSR", "keyframe_stride": 5, "temporal_padding": 2, "edvr_path": "e.pth"}
BASICVSRPP: Recipe = {"type": "BasicVSRPlusPlus", "mid_channels": 64, "num_blocks": 7, "is_low_res_input": True}
BASICVSRPP |= {"spynet_path": "spynet.pth"}
STYLE: Recipe = {"out_size": 256, "channel_multiplier": 2, "resample_kernel": [1, 3, 3, 1]}
HIFACE: Recipe = {"type": "HiFaceGAN", "num_in_ch": 3, "num_feat": 48, "use_vae": False, "z_dim": 256}
HIFACE |= {"crop_size": 512, "norm_g": "spectralspadebatch3x3", "is_train": False}
DISCRIMINATOR: Recipe = {"type": "VGGStyleDiscriminator", "num_in_ch": 3, "num_feat": 64}

PATCHES: Recipe = PAIRS | {"filename_tmpl": "{}", "gt_size": 128, "use_hflip": True, "use_rot": True}
CLIPS: Recipe = VIDEO | {"meta_info_file": "meta.txt", "num_frame": 5, "gt_size": 256, "interval_list": [1]}
CLIPS |= {"random_reverse": False, "use_hflip": True, "use_rot": True}
del CLIPS["cache_data"]
REDS: Recipe = CLIPS | {"type": "REDSDataset", "dataroot_flow": None, "val_partition": "REDS4"}
OLD: Recipe = {"use_flip" if key == "use_hflip" else key: value for key, value in REDS.items()}
RECURRENT: Recipe = CLIPS | {"type": "REDSRecurrentDataset", "val_partition": "REDS4", "test_mode": False}
VIMEO: Recipe = CLIPS | {"type": "Vimeo90KRecurrentDataset", "num_frame": -1, "flip_sequence": True}
FRAMES: Recipe = VIDEO | {"type": "VideoTestDataset", "meta_info_file": "m.txt", "num_frame": 5}
FRAMES |= {"padding": "reflection_circle"}
SEQUENCES: Recipe = VIDEO | {"type": "VideoRecurrentTestDataset", "cache_data": True, "num_frame": -1}
SEPTUPLETS: Recipe = VIDEO | {"type": "VideoTestVimeo90KDataset", "meta_info_file": "m.txt", "num_frame": 7}
FACES: Recipe = {"name": "FFHQ", "type": "FFHQDataset", "dataroot_gt": "ffhq.lmdb", "io_backend": LMDB}
FACES |= {"use_hflip": True, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}

KINDS: dict[str, Recipe] = {
    "EDSR, train (6)": training("SRModel", EDSR, PATCHES | {"meta_info_file": "m.txt"}, PAIRS, ema_decay=0.999),
    "EDSR, test (6)": measuring("SRModel", EDSR, PAIRS),
    "MSRResNet, train (3)": training("SRModel", RESNET, PATCHES, PAIRS, scheduler=WAVES, ema_decay=0.999),
    "MSRResNet, test (3)": measuring("SRModel", RESNET, PAIRS),
    "MSRResNet, no ground truth (1)": measuring("SRModel", RESNET, WITHOUT),
    "RCAN, train and test (2)": training("SRModel", RCAN, PATCHES, PAIRS),
    "SwinIR, train (2)": training("SwinIRModel", SWIN, PATCHES, PAIRS, scheduler=STEPS, ema_decay=0.999),
    "ECBSR, train (3)": training(
        "SRModel", ECBSR, PATCHES | {"color": "y", "io_backend": LMDB}, PAIRS | {"color": "y"}
    ),
    "RRDBNet, train and test (2)": training("SRModel", RRDB, PATCHES, PAIRS, scheduler=WAVES),
    "SRGAN, train (1)": training(
        "SRGANModel", RESNET, PATCHES, PAIRS, optim_d=ADAM, perceptual_opt=VGG, gan_opt=GAN, net_d_iters=1
    )
    | {"network_d": DISCRIMINATOR},
    "ESRGAN, train (1)": training(
        "ESRGANModel", RRDB, PATCHES, PAIRS, optim_d=ADAM, perceptual_opt=VGG, gan_opt=GAN, net_d_init_iters=0
    )
    | {"network_d": DISCRIMINATOR},
    "ESRGAN, test (1)": measuring("ESRGANModel", RRDB, PAIRS),
    "ESRGAN, no ground truth (1)": measuring("ESRGANModel", RRDB, WITHOUT),
    "EDVR, train (4)": training(
        "EDVRModel", EDVR, REDS, FRAMES, pixel_opt=CHARBONNIER, scheduler=WAVES, tsa_iter=50, dcn_lr_mul=1
    )
    | {"find_unused_parameters": True},
    "EDVR, test (7)": measuring("EDVRModel", EDVR, FRAMES),
    "BasicVSR, REDS, train (1)": training(
        "VideoRecurrentModel", BASICVSR, RECURRENT, SEQUENCES, pixel_opt=CHARBONNIER, fix_flow=50, flow_lr_mul=0.125
    ),
    "BasicVSR, Vimeo, train (2)": training(
        "VideoRecurrentModel", BASICVSR, VIMEO, SEQUENCES, pixel_opt=CHARBONNIER, fix_flow=50, flow_lr_mul=0.125
    ),
    "IconVSR, train (3)": training(
        "VideoRecurrentModel", ICONVSR, RECURRENT, SEQUENCES, pixel_opt=CHARBONNIER, fix_flow=50, flow_lr_mul=0.125
    ),
    "BasicVSR, test (3)": measuring("VideoRecurrentModel", BASICVSR, SEQUENCES),
    "BasicVSR, Vimeo, test (3)": measuring(
        "VideoRecurrentModel", BASICVSR, SEPTUPLETS, flip_seq=True, center_frame_only=True
    ),
    "BasicVSR++, train (1)": training(
        "VideoRecurrentModel", BASICVSRPP, RECURRENT, SEQUENCES, pixel_opt=CHARBONNIER, fix_flow=50, flow_lr_mul=0.25
    ),
    "DUF, test (1)": measuring(
        "VideoBaseModel",
        {"type": "DUF", "scale": 4, "num_layer": 52, "adapt_official_weights": True},
        FRAMES | {"type": "VideoTestDUFDataset", "use_duf_downsampling": True},
    ),
    "TOFlow, test (1)": measuring("VideoBaseModel", {"type": "TOFlow", "adapt_official_weights": True}, FRAMES)
    | {"save_img": True},
    "StyleGAN2, train (2)": training(
        "StyleGAN2Model",
        STYLE | {"type": "StyleGAN2Generator", "num_style_feat": 512, "num_mlp": 8, "lr_mlp": 0.01},
        FACES,
        None,
        scale=1,
        optim_g={"type": "Adam", "lr": 2e-3},
        optim_d={"type": "Adam", "lr": 2e-3},
        pixel_opt=None,
        gan_opt={"type": "GANLoss", "gan_type": "wgan_softplus", "loss_weight": 1.0},
        r1_reg_weight=10,
        path_batch_shrink=2,
        path_reg_weight=2,
        net_g_reg_every=4,
        net_d_reg_every=16,
        mixing_prob=0.9,
        net_d_iters=1,
        net_d_init_iters=0,
    )
    | {"network_d": STYLE | {"type": "StyleGAN2Discriminator"}, "val": {"val_freq": 5e3, "save_img": True}},
    "HiFaceGAN, train (1)": training(
        "HiFaceGANModel",
        HIFACE,
        PATCHES,
        PAIRS,
        scale=1,
        pixel_opt=None,
        optim_d=ADAM,
        perceptual_opt=VGG,
        gan_opt=GAN | {"type": "MultiScaleGANLoss", "gan_type": "lsgan"},
        feature_matching_opt={"type": "GANFeatLoss", "loss_weight": 10.0, "criterion": "l1"},
        net_d_iters=1,
    )
    | {
        "network_d": {"type": "HiFaceGANDiscriminator", "num_in_ch": 3, "num_out_ch": 3, "conditional_d": True}
        | {"num_feat": 64, "norm_d": "spectralinstance"}
    },
    "HiFaceGAN, test (2)": measuring("HiFaceGANModel", HIFACE, PAIRS, scale=1),
    "older names of keys (12)": training(
        "EDVRModel", EDVR, OLD, FRAMES, pixel_opt=CHARBONNIER, tsa_iter=50, dcn_lr_mul=1
    )
    | {"path": {"pretrain_model_g": "x.pth", "strict_load": False, "resume_state": None}},
}
"""By kind, and how many of BasicSR's recipes are of it."""


def said(recipe: Recipe) -> tuple[bool, str]:
    """Whether a recipe is taken, and the notes or the mistakes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recipe.yml")
        path.write_text(yaml.safe_dump(deepcopy(recipe), sort_keys=False), encoding="utf-8")
        try:
            return True, " ".join(note.removeprefix(f"{path}:") for note in read_recipe(path).notes)
        except RecipeError as error:
            return False, " ".join(f"{mistake.message}." for mistake in error.mistakes)


def rows() -> Iterator[tuple[str, bool, str]]:
    """Kind, whether it is taken, and why not."""
    for kind, recipe in KINDS.items():
        yield kind, *said(recipe)


def main() -> None:
    """Print the table in Markdown."""
    sys.stdout.write("| recipes of BasicSR | taken | said |\n|---|---|---|\n")
    for kind, taken, why in rows():
        sys.stdout.write(f"| {kind} | {'yes' if taken else 'no'} | {why} |\n")


if __name__ == "__main__":
    main()
