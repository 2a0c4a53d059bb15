"""The small x4 network trained from nothing at equal steps with each optimiser: loss and PSNR.

python -m benchmarks.optimizers PHOTOS SET5 [--steps 300]

SET5 holds HR/*.png and LR_bicubic/X4/*x4.png. Runs stand in ./experiments; a run that is there goes on.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

RECIPES: dict[str, tuple[str, ...]] = {
    "AdamW": ("{type: AdamW, lr: 1.0e-3, weight_decay: 0, betas: [0.9, 0.99]}",),
    "Muon": ("{type: Muon, lr: 1.0e-3, adamw_lr: 1.0e-3, adamw_betas: [0.9, 0.99]}",),
    "Muon_faster": ("{type: Muon, lr: 4.0e-3, adamw_lr: 1.0e-3, adamw_betas: [0.9, 0.99]}",),
    "AdamWScheduleFree": (
        "{type: AdamWScheduleFree, lr: 2.5e-3, betas: [0.9, 0.99], warmup_steps: 30}",
        "train.scheduler=~",
    ),
}
"""Overrides of the recipe, that of optim_g first."""


def overrides(photos: Path, set5: Path, steps: int) -> list[str]:
    """What all runs share."""
    return [
        f"datasets.train.dataroot_gt={photos}",
        "datasets.train.degradation={type: bicubic}",
        "datasets.train.gt_size=96",
        "datasets.train.patches_per_photo=16",
        "datasets.train.batch_size_per_gpu=8",
        f"datasets.val.dataroot_gt={set5 / 'HR'}",
        f"datasets.val.dataroot_lq={set5 / 'LR_bicubic/X4'}",
        f"train.total_iter={steps}",
        f"train.scheduler.periods=[{steps}]",
        "train.warmup_iter=-1",
        "train.ema_decay=0",
        "train.ema_warmup=false",
        "val.val_freq=100",
        "logger.print_freq=50",
        "logger.save_checkpoint_freq=100",
        "logger.use_tb_logger=false",
    ]


def main() -> None:
    """Train, and print a row for each optimiser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("set5", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--only", choices=RECIPES)
    arguments = parser.parse_args()
    shared = overrides(arguments.photos.resolve(), arguments.set5.resolve(), arguments.steps)
    for name, (optimizer, *more) in RECIPES.items():
        if arguments.only not in (None, name):
            continue
        given = [*shared, f"name={name}", f"train.optim_g={optimizer}", *more]
        if "train.scheduler=~" in more:
            given = [one for one in given if not one.startswith("train.scheduler.")]
        started = time.perf_counter()
        recipe = ["train", "options/nano_SR_x4.yml", *given]
        subprocess.run([sys.executable, "-m", "mambair_cli", *recipe, "--no-progress"], check=True)
        seconds = time.perf_counter() - started
        rows = [json.loads(line) for line in Path("experiments", name, "log.jsonl").read_text().splitlines()]
        losses = {row["iter"]: row["l_pix"] for row in rows if "l_pix" in row}
        scores = {row["iter"]: row["Set5/psnr"] for row in rows if "Set5/psnr" in row}
        shown = [f"{step}: {losses[step]:.4f}, {scores[step]:.2f} dB" for step in scores]
        print(f"{name}: {'; '.join(shown)}; {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
