"""One recipe of each family is trained for two steps on a few small images."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from mambair_cli.console import Console
from mambair_cli.training.recipe.reading import read_recipe

SMALL = (
    "train.total_iter=2",
    "datasets.train.batch_size_per_gpu=1",
    "datasets.train.num_worker_per_gpu=0",
    "val.val_freq=2",
    "logger.print_freq=1",
    "logger.save_checkpoint_freq=2",
    "logger.use_tb_logger=false",
    "path.pretrain_network_g=~",
)
SINGLE = ("train.scheduler.milestones=[1]", "network_g.depths=[1]")
TWO_FOLDERS = "datasets.train.dataroot_lq=[DF2K/LR_bicubic/X2, SR/Set14/LR_bicubic/X2]"
HEADS = (*SINGLE, "network_g.num_heads=[6]")
FAMILIES = {
    "lightSR_x2": SINGLE,
    "SR_x4": ("network_g.depths=[1]", "train.scheduler={type: CosineAnnealingLR, T_max: 2}"),
    "SR_x2": (*SINGLE, "datasets.train.dataroot_gt=[DF2K/HR, SR/Set14/HR]", TWO_FOLDERS),
    "colorDN_15": (*SINGLE, "datasets.train.gt_size=32"),
    "JPEG_10": (*SINGLE, "datasets.train.gt_size=32"),
    "realDN": ("datasets.train.gt_size=32", "network_g.num_blocks=[1, 1, 1, 1]", "network_g.num_refinement_blocks=1"),
    "vmambair_realDN": (
        "datasets.train.gt_size=32",
        "network_g.dim=8",
        "network_g.num_blocks=[1, 1, 1, 1]",
        "network_g.num_refinement_blocks=1",
    ),
    "umamba_realDN": ("datasets.train.gt_size=32", "network_g.features=[8, 8, 8, 8]"),
    "v2_lightSR_x3": HEADS,
    "v2_SR_S_x2": HEADS,
    "mair_lightSR_x2": (*SINGLE, "network_g.embed_dim=12"),
    "mair_colorDN_15": (*SINGLE, "network_g.embed_dim=12", "datasets.train.gt_size=32"),
    "tpmambasr_x2": (*HEADS, "datasets.train.gt_size=64"),
    "v2_colorDN_25": (*HEADS, "datasets.train.gt_size=32"),
    "v2_JPEG_40": (*HEADS, "datasets.train.gt_size=32"),
}
PAIRS = {  # folder of clean images: folder of degraded ones, ending, scale
    "DF2K/HR": [(f"DF2K/LR_bicubic/X{s}", f"x{s}", s) for s in (2, 3, 4)],
    "SR/Urban100/HR": [("SR/Urban100/LR_bicubic/X2", "x2", 2)],
    "SR/Set14/HR": [(f"SR/Set14/LR_bicubic/X{s}", f"x{s}", s) for s in (2, 3, 4)],
    "SIDD/train/target_crops": [("SIDD/train/input_crops", "", 1)],
    "SIDD/val/target_crops": [("SIDD/val/input_crops", "", 1)],
    "CAR/classic5/Classic5_HQ": [(f"CAR/classic5/Classic5_LQ/{q}", "", 1) for q in (10, 40)],
    "DFWB_RGB/HQ": [],
    "DFWB_CAR/HQ": [],
    "ColorDN/CBSD68HQ": [],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one picture where each recipe looks for its images."""
    folder = tmp_path_factory.mktemp("data")
    picture = np.random.default_rng(0).integers(0, 256, (192, 192, 3), np.uint8)
    for clean, degraded in PAIRS.items():
        for name, ending, scale in [(clean, "", 1), *degraded]:
            (folder / name).mkdir(parents=True)
            cv2.imwrite(
                str(folder / name / f"a{ending}.png"), np.ascontiguousarray(picture[: 192 // scale, : 192 // scale])
            )
    return folder


@pytest.mark.skipif(find_spec("basicsr") is None, reason="BasicSR is not installed")
@pytest.mark.parametrize("stem", FAMILIES)
def test_a_recipe_of_each_family_trains(stem: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mambair_cli.training import start  # needs BasicSR

    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(f"options/{stem}.yml", [*SMALL, *FAMILIES[stem]])
    start.train(recipe, root, None, Console(quiet=True))
    assert (tmp_path / "experiments" / stem / "models" / "net_g_2.pth").is_file()
