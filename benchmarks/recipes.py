"""Which published recipes are taken: those of BasicSR 1.4.2 by name, and what is said of each.

``python -m benchmarks.recipes`` prints the table. Keys and values are written down here, those shared by many once;
places of files, numbers of steps and seeds are stand-ins. Nothing is trained, since that needs each recipe's data.
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
Named = Iterator[tuple[str, Recipe]]

DISK, LMDB = {"type": "disk"}, {"type": "lmdb"}
LOADED: Recipe = {
    "use_shuffle": True,
    "num_worker_per_gpu": 6,
    "batch_size_per_gpu": 16,
    "dataset_enlarge_ratio": 100,
    "prefetch_mode": None,
}
ADAM: Recipe = {"type": "Adam", "lr": 1e-4, "weight_decay": 0, "betas": [0.9, 0.99]}
STEPS: Recipe = {"type": "MultiStepLR", "milestones": [20, 40], "gamma": 0.5}
WAVES: Recipe = {"type": "CosineAnnealingRestartLR", "periods": [50, 50], "restart_weights": [1, 1], "eta_min": 1e-7}
WAVE: Recipe = WAVES | {"periods": [100], "restart_weights": [1]}
L1: Recipe = {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}
CHARBONNIER: Recipe = {"type": "CharbonnierLoss", "loss_weight": 1.0, "reduction": "mean"}
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
VGG_OF_FIVE: Recipe = VGG | {
    "layer_weights": {"conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1, "conv4_4": 1, "conv5_4": 1}
}
VGG_OF_FACES: Recipe = VGG | {"use_input_norm": False, "perceptual_weight": 10.0}
VGG_OF_FACES |= {"layer_weights": {f"relu{block}_1": 2.0**block / 32 for block in range(1, 6)}}
GAN: Recipe = {
    "type": "GANLoss",
    "gan_type": "vanilla",
    "real_label_val": 1.0,
    "fake_label_val": 0.0,
    "loss_weight": 0.005,
}
ADVERSARIAL: Recipe = {"optim_d": ADAM, "perceptual_opt": VGG, "gan_opt": GAN, "net_d_iters": 1, "net_d_init_iters": 0}
LOGGER: Recipe = {
    "print_freq": 100,
    "save_checkpoint_freq": 5e3,
    "use_tb_logger": True,
    "wandb": {"project": None, "resume_id": None},
}


def metric(kind: str, crop: int, luma: bool = False, **more: Any) -> Recipe:
    """A figure of ``val.metrics``."""
    return {"type": f"calculate_{kind}", "crop_border": crop, "test_y_channel": luma} | more


def training(model: str, network: Recipe, data: Recipe, val: list[Recipe], scale: int = 4, **train: Any) -> Recipe:
    """A recipe for training, in the order of the published ones; keys of ``train`` that are None are left out."""
    recipe: Recipe = {"name": "published", "model_type": model, "scale": scale, "num_gpu": 1, "manual_seed": 0}
    validations = {f"val_{number}" if number > 1 else "val": each for number, each in enumerate(val, 1)}
    recipe["datasets"] = {"train": data | LOADED} | validations
    recipe["network_g"] = network
    recipe["path"] = {"pretrain_network_g": None, "strict_load_g": True, "resume_state": None}
    usual: Recipe = {"optim_g": ADAM, "scheduler": STEPS, "total_iter": 100, "warmup_iter": -1, "pixel_opt": L1}
    recipe["train"] = {key: value for key, value in (usual | train).items() if value is not None}
    recipe["val"] = {"val_freq": 5e3, "save_img": False, "metrics": {"psnr": metric("psnr", scale)}}
    recipe["logger"] = LOGGER
    recipe["dist_params"] = {"backend": "nccl", "port": 29500}
    return recipe


def started(recipe: Recipe, strict: bool = True, **path: Any) -> Recipe:
    """The recipe with weights to start from."""
    return recipe | {"path": recipe["path"] | {"pretrain_network_g": "x.pth", "strict_load_g": strict} | path}


def measuring(
    model: str, network: Recipe, data: list[Recipe], scale: int = 4, crop: int | None = None, **val: Any
) -> Recipe:
    """A recipe for a test."""
    border = scale if crop is None else crop
    recipe: Recipe = {"name": "published", "model_type": model, "scale": scale, "num_gpu": 1, "manual_seed": 0}
    recipe["datasets"] = {f"test_{number}": each for number, each in enumerate(data, 1)}
    recipe["network_g"] = network
    recipe["path"] = {"pretrain_network_g": "x.pth", "strict_load_g": True}
    metrics = {"psnr": metric("psnr", border), "ssim": metric("ssim", border)}
    recipe["val"] = {"save_img": True, "suffix": None, "metrics": metrics} | val
    return recipe


def without_truth(recipe: Recipe) -> Recipe:
    """The recipe of a test without clean images, which measures nothing."""
    sets = {"test_1": SINGLE, "test_2": SINGLE}
    return recipe | {"datasets": sets, "val": {"save_img": True, "suffix": None}}


PAIRS: Recipe = {
    "name": "p",
    "type": "PairedImageDataset",
    "dataroot_gt": "hr",
    "dataroot_lq": "lr",
    "io_backend": DISK,
}
SINGLE: Recipe = {"name": "s", "type": "SingleImageDataset", "dataroot_lq": "lr", "io_backend": DISK}
PATCHES: Recipe = PAIRS | {"filename_tmpl": "{}", "gt_size": 192, "use_hflip": True, "use_rot": True}
LISTED: Recipe = PATCHES | {"meta_info_file": "meta.txt"}
THREE = [PAIRS, PAIRS, PAIRS | {"filename_tmpl": "{}x4"}]
DISCRIMINATOR: Recipe = {"type": "VGGStyleDiscriminator", "num_in_ch": 3, "num_feat": 64}
COLOURS: Recipe = {"num_in_ch": 3, "num_out_ch": 3}
RRDB: Recipe = {"type": "RRDBNet", **COLOURS, "num_feat": 64, "num_block": 23, "num_grow_ch": 32}


def edsr() -> Named:
    """Middle and large, at three scales; x3 and x4 start from x2."""
    for size, feat, blocks, shrink in (("M", 64, 16, 1), ("L", 256, 32, 0.1)):
        for scale in (2, 3, 4):
            network: Recipe = {"type": "EDSR", **COLOURS, "num_feat": feat, "num_block": blocks, "upscale": scale}
            network |= {"res_scale": shrink, "img_range": 255.0, "rgb_mean": [0.4488, 0.4371, 0.4040]}
            train = training("SRModel", network, LISTED | {"gt_size": 48 * scale}, [PAIRS], scale, ema_decay=0.999)
            yield f"train_EDSR_{size}x{scale}", started(train, strict=False) if scale > 2 else train
            yield f"test_EDSR_{size}x{scale}", measuring("SRModel", network, THREE, scale)


def srresnet() -> Named:
    """MSRResNet at three scales, of which x2 and x3 start from x4, and MSRGAN."""
    for scale in (2, 3, 4):
        network: Recipe = {"type": "MSRResNet", **COLOURS, "num_feat": 64, "num_block": 16, "upscale": scale}
        train = training("SRModel", network, LISTED, [PAIRS, PAIRS], scale, ema_decay=0.999, scheduler=WAVES)
        train["val"]["metrics"]["niqe"] = {"type": "calculate_niqe", "crop_border": scale, "better": "lower"}
        yield f"train_MSRResNet_x{scale}", train if scale == 4 else started(train, strict=False)
        yield f"test_MSRResNet_x{scale}", measuring("SRModel", network, THREE, scale)
    yield "test_MSRResNet_x4_woGT", without_truth(measuring("SRModel", network, THREE))
    gan = training("SRGANModel", network, PATCHES, [PAIRS], ema_decay=0.999, **ADVERSARIAL)
    yield "train_MSRGAN_x4", started(gan | {"network_d": DISCRIMINATOR})
    yield "test_MSRGAN_x4", measuring("SRGANModel", network, THREE)


def esrgan() -> Named:
    """RRDBNet, alone and with a discriminator."""
    yield "train_RRDBNet_PSNR_x4", training("SRModel", RRDB, PATCHES, [PAIRS], ema_decay=0.999, scheduler=WAVES)
    yield "test_RRDBNet_PSNR_x4", measuring("SRModel", RRDB, THREE)
    network = {key: value for key, value in RRDB.items() if key != "num_grow_ch"}
    gan = training("ESRGANModel", network, PATCHES, [PAIRS], ema_decay=0.999, **ADVERSARIAL)
    yield "train_ESRGAN_x4", started(gan | {"network_d": DISCRIMINATOR})
    yield "test_ESRGAN_x4", measuring("ESRGANModel", RRDB, THREE)
    yield "test_ESRGAN_x4_woGT", without_truth(measuring("ESRGANModel", RRDB, THREE))


def real_esrgan() -> Named:
    """Degraded twice by the model, x2 and x4, with and without a discriminator."""
    second: Recipe = {"second_blur_prob": 0.8, "gt_size": 256, "queue_size": 180}
    for number in ("", "2"):
        second |= {f"resize_prob{number}": [0.2, 0.7, 0.1], f"resize_range{number}": [0.15, 1.5]}
        second |= {f"gaussian_noise_prob{number}": 0.5, f"noise_range{number}": [1, 30]}
        second |= {f"poisson_scale_range{number}": [0.05, 3], f"gray_noise_prob{number}": 0.4}
        second |= {f"jpeg_range{number}": [30, 95]}
    data: Recipe = {"name": "DF2K", "type": "RealESRGANDataset", "dataroot_gt": "hr", "meta_info": "meta.txt"}
    data |= {"io_backend": DISK, "gt_size": 256, "use_hflip": True, "use_rot": False, "final_sinc_prob": 0.8}
    kernels = ["iso", "aniso", "generalized_iso", "generalized_aniso", "plateau_iso", "plateau_aniso"]
    for number in ("", "2"):
        data |= {f"blur_kernel_size{number}": 21, f"kernel_list{number}": kernels, f"sinc_prob{number}": 0.1}
        data |= {f"kernel_prob{number}": [0.45, 0.25, 0.12, 0.03, 0.12, 0.03], f"blur_sigma{number}": [0.2, 3]}
        data |= {f"betag_range{number}": [0.5, 4], f"betap_range{number}": [1, 2]}
    for scale in (2, 4):
        network = RRDB | ({"scale": 2} if scale == 2 else {})
        plain = training("RealESRNetModel", network, data, [], scale, ema_decay=0.999) | {"gt_usm": True}
        losses: Recipe = ADVERSARIAL | {"perceptual_opt": VGG_OF_FIVE}
        gan = training("RealESRGANModel", network, data, [], scale, ema_decay=0.999, **losses)
        gan["network_d"] = {"type": "UNetDiscriminatorSN", "num_in_ch": 3, "num_feat": 64, "skip_connection": True}
        gan |= {"l1_gt_usm": True, "percep_gt_usm": True, "gan_gt_usm": False}
        for name, recipe in (("net", plain), ("gan", gan)):
            unmeasured = {key: value for key, value in (recipe | second).items() if key != "val"}
            whole = started(unmeasured | {"num_gpu": "auto"}, strict=name == "gan", param_key_g="params_ema")
            yield f"train_realesr{name}_x{scale}plus", whole


def other_images() -> Named:
    """RCAN, SwinIR, ECBSR, HiFaceGAN and StyleGAN2."""
    rcan: Recipe = {"type": "RCAN", **COLOURS, "num_feat": 64, "num_group": 10, "num_block": 20, "squeeze_factor": 16}
    rcan |= {"upscale": 4, "res_scale": 1, "img_range": 255.0, "rgb_mean": [0.4488, 0.4371, 0.4040]}
    yield "train_RCAN_x2", training("SRModel", rcan, PATCHES, [PAIRS], 2, ema_decay=0.999)
    test = measuring("SRModel", rcan, THREE)
    del test["val"]
    yield "test_RCAN", test | {"suffix": None, "crop_border": None, "save_img": True}
    for scale in (2, 4):
        swin: Recipe = {
            "type": "SwinIR",
            "upscale": scale,
            "in_chans": 3,
            "img_size": 48,
            "window_size": 8,
            "img_range": 1.0,
        }
        swin |= {"depths": [6] * 6, "embed_dim": 180, "num_heads": [6] * 6, "mlp_ratio": 2}
        swin |= {"upsampler": "pixelshuffle", "resi_connection": "1conv"}
        recipe = training("SwinIRModel", swin, LISTED, [PAIRS], scale, ema_decay=0.999)
        yield f"train_SwinIR_SRx{scale}_scratch", recipe | {"num_gpu": "auto"}
    for name, scale, channels, backend in (
        ("x2_m4c16_prelu", 2, 1, DISK),
        ("x4_m4c16_prelu", 4, 1, LMDB),
        ("x4_m4c16_prelu_RGB", 4, 3, LMDB),
    ):
        ecbsr: Recipe = {
            "type": "ECBSR",
            "num_in_ch": channels,
            "num_out_ch": channels,
            "num_block": 4,
            "num_channel": 16,
        }
        ecbsr |= {"with_idt": False, "act_type": "prelu", "scale": scale}
        luma = {"color": "y"} if channels == 1 else {}
        val = [PAIRS | {"filename_tmpl": f"{{}}x{scale}"} | luma] * 4
        flat = STEPS | {"gamma": 1}
        recipe = training("SRModel", ecbsr, LISTED | luma | {"io_backend": backend}, val, scale, scheduler=flat)
        recipe["train"]["ema_decay"] = 0
        figures = {kind: metric(kind, scale, luma=True, better="higher") for kind in ("psnr", "ssim")}
        recipe["val"] |= {"pbar": False, "metrics": figures}
        yield f"train_ECBSR_{name}", recipe
    face: Recipe = {"type": "HiFaceGAN", "num_in_ch": 3, "num_feat": 48, "use_vae": False, "z_dim": 256}
    face |= {"crop_size": 512, "norm_g": "spectralspadebatch3x3", "is_train": False}
    losses: Recipe = ADVERSARIAL | {"perceptual_opt": VGG_OF_FACES, "pixel_opt": None}
    losses |= {"gan_opt": GAN | {"type": "MultiScaleGANLoss", "gan_type": "lsgan", "loss_weight": 1.0}}
    losses |= {"feature_matching_opt": {"type": "GANFeatLoss", "loss_weight": 10.0, "criterion": "l1"}}
    recipe = training("HiFaceGANModel", face, PATCHES | {"gt_size": 512, "use_rot": False}, [PAIRS], 1, **losses)
    recipe["network_d"] = {"type": "HiFaceGANDiscriminator", **COLOURS, "conditional_d": True, "num_feat": 64}
    recipe["network_d"] |= {"norm_d": "spectralinstance"}
    yield "train_hifacegan", {key: value for key, value in recipe.items() if key != "dist_params"}
    yield "test_hifacegan", measuring("HiFaceGANModel", face, [PAIRS], 1, crop=4)
    yield "test_hifacegan_woGT", without_truth(measuring("HiFaceGANModel", face, [PAIRS], 1))
    style: Recipe = {"out_size": 256, "channel_multiplier": 2, "resample_kernel": [1, 3, 3, 1]}
    generator = style | {"type": "StyleGAN2Generator", "num_style_feat": 512, "num_mlp": 8, "lr_mlp": 0.01}
    photos: Recipe = {"name": "FFHQ", "type": "FFHQDataset", "dataroot_gt": "ffhq.lmdb", "io_backend": LMDB}
    photos |= {"use_hflip": True, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    plain: Recipe = {"type": "Adam", "lr": 2e-3}
    losses = {"optim_g": plain, "optim_d": plain, "pixel_opt": None, "net_d_iters": 1, "net_d_init_iters": 0}
    losses |= {"gan_opt": {"type": "GANLoss", "gan_type": "wgan_softplus", "loss_weight": 1.0}, "r1_reg_weight": 10}
    losses |= {"path_batch_shrink": 2, "path_reg_weight": 2, "net_g_reg_every": 4, "net_d_reg_every": 16}
    recipe = training("StyleGAN2Model", generator, photos, [], 1, mixing_prob=0.9, **losses)
    del recipe["scale"]
    recipe |= {"network_d": style | {"type": "StyleGAN2Discriminator"}, "val": {"val_freq": 5e3, "save_img": True}}
    yield "train_StyleGAN2_256_Cmul2_FFHQ", recipe
    yield "train_StyleGAN2_256_Cmul2_FFHQ_800k", recipe


VIDEO: Recipe = {"name": "v", "dataroot_gt": "hr", "dataroot_lq": "lr", "io_backend": DISK}
CLIPS: Recipe = VIDEO | {"meta_info_file": "meta.txt", "num_frame": 5, "gt_size": 256, "interval_list": [1]}
CLIPS |= {"random_reverse": False, "use_hflip": True, "use_rot": True}
REDS: Recipe = CLIPS | {"type": "REDSDataset", "dataroot_flow": None, "val_partition": "REDS4"}
FRAMES: Recipe = VIDEO | {"type": "VideoTestDataset", "cache_data": False, "num_frame": 7}
FRAMES |= {"padding": "reflection_circle"}
REDS4: Recipe = FRAMES | {"meta_info_file": "meta.txt", "num_frame": 5}
SEPTUPLETS: Recipe = FRAMES | {"type": "VideoTestVimeo90KDataset", "meta_info_file": "meta.txt"}
SEQUENCES: Recipe = VIDEO | {"type": "VideoRecurrentTestDataset", "cache_data": True, "num_frame": -1}


def windows() -> Named:
    """EDVR, DUF and TOFlow: several frames make one."""

    def edvr(size: str, frames: int = 5, **more: bool) -> Recipe:
        feat, blocks = (64, 10) if size == "M" else (128, 40)
        network: Recipe = {"type": "EDVR", **COLOURS, "num_feat": feat, "num_frame": frames, "deformable_groups": 8}
        network |= {"num_extract_block": 5, "num_reconstruct_block": blocks, "center_frame_idx": None}
        return network | {"hr_in": False, "with_predeblur": False, "with_tsa": True} | more

    total = CHARBONNIER | {"reduction": "sum"}
    for size in ("M", "L"):
        name = f"train_EDVR_{size}_x4_SR_REDS"
        network = edvr(size, with_tsa=False)
        recipe = training("EDVRModel", network, REDS, [REDS4], pixel_opt=total, scheduler=WAVES, dcn_lr_mul=1)
        yield f"{name}_woTSA", recipe | {"find_unused_parameters": True}
        recipe |= {"network_g": edvr(size), "train": recipe["train"] | {"tsa_iter": 50}}
        yield name, started(recipe | {"find_unused_parameters": True}, strict=False)
    replicated = REDS4 | {"padding": "replicate"}
    blurred = edvr("L", hr_in=True, with_predeblur=True)
    for name, network, data, scale in (
        ("L_deblur_REDS", blurred, replicated, 1),
        ("L_deblurcomp_REDS", blurred, replicated, 1),
        ("L_x4_SR_REDS", edvr("L"), REDS4, 4),
        ("L_x4_SR_Vid4", edvr("L", 7), FRAMES, 4),
        ("L_x4_SR_Vimeo90K", edvr("L", 7), SEPTUPLETS, 4),
        ("L_x4_SRblur_REDS", edvr("L", with_predeblur=True), replicated, 4),
        ("M_x4_SR_REDS", edvr("M"), REDS4, 4),
    ):
        yield f"test_EDVR_{name}", measuring("EDVRModel", network, [data], scale, crop=0)
    duf: Recipe = {"type": "DUF", "scale": 4, "num_layer": 52, "adapt_official_weights": True}
    data = FRAMES | {"type": "VideoTestDUFDataset", "use_duf_downsampling": True}
    yield "test_DUF_official", measuring("VideoBaseModel", duf, [data], crop=8)
    flow: Recipe = {"type": "TOFlow", "adapt_official_weights": True}
    yield "test_TOF_official", measuring("VideoBaseModel", flow, [FRAMES], crop=0) | {"save_img": True}


def recurrences() -> Named:
    """BasicVSR, IconVSR and BasicVSR++: features go from frame to frame."""
    reds = CLIPS | {"type": "REDSRecurrentDataset", "num_frame": 15, "val_partition": "REDS4", "test_mode": False}
    vimeo = CLIPS | {"type": "Vimeo90KRecurrentDataset", "num_frame": -1, "flip_sequence": True}
    usual: Recipe = {
        "ema_decay": 0.999,
        "scheduler": WAVE,
        "pixel_opt": CHARBONNIER,
        "fix_flow": 50,
        "flow_lr_mul": 0.125,
    }
    for kind in ("BasicVSR", "IconVSR"):
        for name, data, padding in (("REDS", reds, 2), ("Vimeo90K_BDx4", vimeo, 3), ("Vimeo90K_BIx4", vimeo, 3)):
            network: Recipe = {"type": kind, "num_feat": 64, "num_block": 30, "spynet_path": "spynet.pth"}
            if kind == "IconVSR":
                network |= {"keyframe_stride": 5, "temporal_padding": padding, "edvr_path": "edvr.pth"}
            recipe = training("VideoRecurrentModel", network, data, [SEQUENCES], **usual)
            yield f"train_{kind}_{name}", recipe | {"find_unused_parameters": True}
            if name == "REDS":
                yield f"test_{kind}_{name}", measuring("VideoRecurrentModel", network, [SEQUENCES], crop=0)
            else:
                more: Recipe = {"flip_seq": True, "center_frame_only": True}
                frames = {key: value for key, value in SEPTUPLETS.items() if key != "padding"}
                yield f"test_{kind}_{name}", measuring("VideoRecurrentModel", network, [frames], crop=0, **more)
    network = {"type": "BasicVSRPlusPlus", "mid_channels": 64, "num_blocks": 7, "is_low_res_input": True}
    network |= {"spynet_path": "spynet.pth"}
    recipe = training("VideoRecurrentModel", network, reds | {"num_frame": 30}, [SEQUENCES], **usual)
    yield "train_BasicVSRPP_REDS", recipe | {"find_unused_parameters": True}


PUBLISHED: dict[str, Recipe] = {
    name: recipe
    for family in (edsr, srresnet, esrgan, real_esrgan, other_images, windows, recurrences)
    for name, recipe in family()
}
"""By the name of their file, without the suffix."""

UNRUN = {
    "train_RCAN_x2": "BasicSR builds a network for x4 and ends at the loss, whose sizes differ",
    "test_RCAN": "BasicSR ends where it asks for the section val",
}
"""Recipes that BasicSR itself cannot run, and why."""

OLDER = {
    "path": {"pretrain_network_g": "pretrain_model_g", "strict_load_g": "strict_load"},
    "datasets": {"use_hflip": "use_flip"},
    "model_type": {"VideoRecurrentModel": "BasicVSRModel"},
}
"""Names of before BasicSR 1.3."""


def older(recipe: Recipe) -> Recipe:
    """A recipe in the names of before BasicSR 1.3, in which many copies of it stand."""

    def renamed(section: Recipe, names: dict[str, str]) -> Recipe:
        return {names.get(key, key): value for key, value in section.items()}

    sets = {name: renamed(data, OLDER["datasets"]) for name, data in recipe["datasets"].items()}
    kind = OLDER["model_type"].get(recipe["model_type"], recipe["model_type"])
    return recipe | {"model_type": kind, "datasets": sets, "path": renamed(recipe["path"], OLDER["path"])}


def said(recipe: Recipe) -> tuple[bool, str]:
    """Whether a recipe is taken, and the notes or the mistakes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "recipe.yml")
        path.write_text(yaml.safe_dump(deepcopy(recipe), sort_keys=False), encoding="utf-8")
        try:
            return True, " ".join(note.removeprefix(f"{path}:") for note in read_recipe(path).notes)
        except RecipeError as error:
            return False, " ".join(f"{mistake.message}." for mistake in error.mistakes)


def main() -> None:
    """Print the table in Markdown."""
    write = sys.stdout.write
    write("| recipe of BasicSR | taken | in names before 1.3 | said |\n|---|---|---|---|\n")
    count = 0
    for name, recipe in PUBLISHED.items():
        (taken, why), (before, _) = said(recipe), said(older(recipe))
        count += taken and before
        if name in UNRUN:
            why += f" {UNRUN[name]}."
        write(f"| {name} | {'yes' if taken else 'no'} | {'yes' if before else 'no'} | {why.strip()} |\n")
    write(f"\n{count} of {len(PUBLISHED)} are taken, of which BasicSR itself runs {len(PUBLISHED) - len(UNRUN)}.\n")


if __name__ == "__main__":
    main()
