"""What training has to know of the network that sees whole pictures."""

import torch

from mambair_archs import MambaIRDehaze
from mambair_cli.training.basicsr import bridge


def test_validation_shows_the_whole_picture() -> None:
    bridge.load()
    from mambair_cli.training.basicsr.models import tiling

    settings = tiling(MambaIRDehaze(dims=(8, 8, 8, 8)), 1, 3, torch.device("cpu"))
    assert settings.global_view == MambaIRDehaze.global_view == 512
