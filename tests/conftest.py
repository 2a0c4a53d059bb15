"""Shared fixtures: small models and pictures, made on the spot."""

import os

# Triton decides while it is imported, which torch may do, whether its own functions can be interpreted.
os.environ["TRITON_INTERPRET"] = "1"

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mambair_archs import MambaIR, MambaIRv2Light

if importlib.util.find_spec("triton"):
    importlib.import_module("triton.language")
del os.environ["TRITON_INTERPRET"]

TINY: dict[str, Any] = {
    "upscale": 2,
    "embed_dim": 30,
    "depths": (1, 1),
    "d_state": 4,
    "mlp_ratio": 1.2,
    "upsampler": "pixelshuffledirect",
}
TINY_V2: dict[str, Any] = {
    "upscale": 2,
    "embed_dim": 12,
    "depths": (2,),
    "num_heads": (2,),
    "d_state": 3,
    "mlp_ratio": 1.0,
    "window_size": 4,
    "upsampler": "pixelshuffledirect",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes come first, or one process would work on the last of them while the others wait."""
    items.sort(key=lambda item: "training" not in item.path.parts)


@pytest.fixture(autouse=True)
def _seed(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every test starts from the same random state and without the user's settings."""
    torch.manual_seed(0)
    for name in ("MAMBAIR_SCAN_BACKEND", "MAMBAIR_DATA", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MAMBAIR_CACHE", str(tmp_path_factory.getbasetemp() / "no-cache"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a small checkpoint as BasicSR does; options change the network."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def make(network: type[torch.nn.Module] = MambaIR, **options: Any) -> Path:
        torch.manual_seed(1)
        base = TINY_V2 if network is MambaIRv2Light else TINY
        name = "_".join([network.__name__, *(f"{key}{value}" for key, value in options.items())])
        path = folder / f"{name}.pth"
        if not path.exists():
            torch.save({"params": network(**(base | options)).state_dict()}, path)
        return path

    return make


@pytest.fixture(scope="session")
def x2(checkpoint: Callable[..., Path]) -> Path:
    """A checkpoint that enlarges twice."""
    return checkpoint(upscale=2)


@pytest.fixture(scope="session")
def x1(checkpoint: Callable[..., Path]) -> Path:
    """A checkpoint that keeps the size."""
    return checkpoint(upscale=1, upsampler="")
