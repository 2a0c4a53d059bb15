"""A network so small that it costs next to nothing, and pictures for it: for measuring what is around a network."""

from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save_file

from mambair_archs import MambaIR


def model(folder: Path) -> Path:
    """The file of a network that enlarges twice."""
    torch.manual_seed(0)
    network = MambaIR(upscale=2, embed_dim=30, depths=(1,), d_state=1, mlp_ratio=1.0, upsampler="pixelshuffledirect")
    path = folder / "tiny.safetensors"
    save_file(network.state_dict(), path)
    return path


def pictures(folder: Path, count: int, height: int, width: int) -> list[Path]:
    """Smooth pictures, spread over ten folders."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number % 10}" / f"{number:04}.png" for number in range(count)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    return paths
