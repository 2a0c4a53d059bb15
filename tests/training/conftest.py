"""Tiny data, tiny recipes, and the program that trains them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml

from mambair_cli.training.basicsr import bridge
from tests.cli.run import Outcome, run

PAIRED = {"type": "PairedImageDataset", "dataroot_gt": "hr", "dataroot_lq": "lr", "io_backend": {"type": "disk"}}
EDSR: dict[str, Any] = {
    "name": "tiny",
    "model_type": "SRModel",
    "scale": 2,
    "num_gpu": 0,
    "manual_seed": 3,
    "datasets": {
        "train": {
            **PAIRED,
            "name": "pairs",
            "gt_size": 16,
            "use_hflip": True,
            "use_rot": True,
            "num_worker_per_gpu": 0,
            "batch_size_per_gpu": 4,
        },
        "val": {**PAIRED, "name": "few"},
    },
    "network_g": {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 2},
    "path": {},
    "train": {
        "ema_decay": 0.9,
        "optim_g": {"type": "Adam", "lr": 0.001, "betas": [0.9, 0.99]},
        "scheduler": {"type": "MultiStepLR", "gamma": 0.5},
        "total_iter": 12,
        "pixel_opt": {"type": "L1Loss"},
    },
    "val": {
        "val_freq": 4,
        "save_img": False,
        "metrics": {"psnr": {"type": "calculate_psnr", "crop_border": 2, "test_y_channel": True}},
    },
    "logger": {"print_freq": 3, "save_checkpoint_freq": 5, "use_tb_logger": False},
}
MAMBAIR: dict[str, Any] = {
    "type": "MambaIR",
    "upscale": 2,
    "embed_dim": 30,
    "depths": [1, 1],
    "d_state": 4,
    "mlp_ratio": 1.2,
    "upsampler": "pixelshuffledirect",
}
PHOTOS = {
    "name": "photos",
    "type": "PhotoPatchDataset",
    "dataroot_gt": "hr",
    "gt_size": 16,
    "patches_per_photo": 3,
    "num_worker_per_gpu": 2,
    "batch_size_per_gpu": 2,
}


@pytest.fixture(scope="package", autouse=True)
def _bridge() -> Iterator[None]:
    """BasicSR, and one thread: sums of tiny networks gain nothing from more, and wait for them on a busy machine."""
    bridge.load()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pairs of 32 and 16 pixels below ``hr`` and ``lr``."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for name in ("hr", "lr"):
        (folder / name).mkdir()
    for number in range(6):
        noise = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        high = cv2.GaussianBlur(noise, (0, 0), 2)
        cv2.imwrite(str(folder / "hr" / f"{number}.png"), high)
        cv2.imwrite(str(folder / "lr" / f"{number}.png"), cv2.resize(high, (16, 16), interpolation=cv2.INTER_AREA))
    return folder


@pytest.fixture
def place(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder; recipes find the data from there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAMBAIR_DATA", str(data))
    return tmp_path


def edsr(**changes: Any) -> dict[str, Any]:
    """A recipe of plain BasicSR; changes are given as ``train__total_iter=3``."""
    recipe = deepcopy(EDSR)
    for key, value in changes.items():
        *parents, last = key.split("__")
        section = recipe
        for parent in parents:
            section = section[parent]
        section[last] = value
    recipe["train"]["scheduler"]["milestones"] = [min(4, recipe["train"]["total_iter"] - 1)]
    return recipe


def mambair(**changes: Any) -> dict[str, Any]:
    """A recipe of MambaIR with all that we add: two workers, averaged weights, accumulation, drop path."""
    recipe = edsr(model_type="MambaIRModel", network_g=deepcopy(MAMBAIR), datasets__train=deepcopy(PHOTOS))
    recipe["train"] |= {"accumulate": 2, "clip_grad_norm": 1.0}
    return {**recipe, **changes}


def train(recipe: dict[str, Any], *arguments: str) -> Outcome:
    """``mambair train`` in this process."""
    Path("recipe.yml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return run("train", "recipe.yml", *arguments)


def start(recipe: dict[str, Any], *command: str, **environment: str) -> "subprocess.Popen[bytes]":
    """``python COMMAND`` in a process of its own, with one thread as here; what it says goes to ``said.txt``."""
    Path("recipe.yml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))
    with Path("said.txt").open("wb") as said:
        return subprocess.Popen([sys.executable, *command], env=variables, stdout=said, stderr=said)


def checkpoint(name: str, iteration: int) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Weights, training state and rows of the log after ``iteration``."""
    folder = Path("experiments", name)
    weights = torch.load(folder / "models" / f"net_g_{iteration}.pth", weights_only=True)
    state = torch.load(folder / "training_states" / f"{iteration}.state", weights_only=True)
    return weights, state, (folder / "log.jsonl").read_text(encoding="utf-8")


def differences(a: Any, b: Any, at: str = "") -> list[str]:
    """Where two nested structures of tensors and plain values differ, to the bit."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [f"{at}: {(a.double() - b.double()).abs().max():.1e}"]
    if isinstance(a, dict):
        same = a.keys() == b.keys()
        return [one for key in a for one in differences(a[key], b[key], f"{at}/{key}")] if same else [f"{at}: keys"]
    if isinstance(a, list | tuple):
        pairs = zip(a, b, strict=True)
        return [one for number, (x, y) in enumerate(pairs) for one in differences(x, y, f"{at}/{number}")]
    return [] if a == b else [f"{at}: {a} and {b}"]


def rows(name: str) -> list[dict[str, Any]]:
    """The rows of an experiment's log."""
    text = Path("experiments", name, "log.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]
