"""Draws the effective receptive fields of kinds of networks side by side.

python -m benchmarks.receptive_fields [--model FILE|NAME ...] -o OUT.png

Untrained networks first, whose fields show what their structure lets through: convolutions (EDSR-baseline), attention
in windows (SwinIR-light, BasicSR's), scans of features (MambaIR-light), and scans in a U (VM-UNet, of VMamba's blocks);
then the models given. Four noises of 96 x 96, as `mambair models erf` shows them.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from mambair_archs import MambaIR
from mambair_archs.receptive_field import contributions, squares
from mambair_archs.unets.vmunet import VMUNet
from mambair_cli import load_model
from mambair_cli.restoration.yardstick import EDSRBaseline
from mambair_cli.training.basicsr import before_import
from mambair_cli.weights import erf

SIZE, NOISES, SHOWN = 96, 4, 288


def swin_ir(**options: Any) -> nn.Module:
    """BasicSR's SwinIR."""
    before_import.apply()
    from basicsr.archs.swinir_arch import SwinIR

    made: nn.Module = SwinIR(**options)
    return made


UNTRAINED: dict[str, Callable[[], nn.Module]] = {
    "EDSR-baseline x4": EDSRBaseline,
    "SwinIR-light x4": lambda: swin_ir(
        upscale=4,
        img_size=64,
        window_size=8,
        depths=[6] * 4,
        embed_dim=60,
        num_heads=[6] * 4,
        mlp_ratio=2,
        upsampler="pixelshuffledirect",
    ),
    "MambaIR-light x4": lambda: MambaIR(upscale=4, d_state=10, mlp_ratio=1.2, upsampler="pixelshuffledirect"),
    "VM-UNet": lambda: VMUNet(),
}


def networks(models: list[str]) -> Iterator[tuple[str, nn.Module]]:
    """Names and networks, ready to run."""
    for name, make in UNTRAINED.items():
        torch.manual_seed(0)
        yield f"{name}, untrained", make().eval()
    for model in models:
        loaded = load_model(model, "cpu")
        yield loaded.name, loaded.network


def panel(name: str, field: Tensor) -> Image.Image:
    """One drawing with its name and the sides of the squares that hold 50 and 99 % of all."""
    sides = {round(each.share * 100): each.side for each in squares(field)}
    drawn = Image.fromarray(erf.draw(field)).resize((SHOWN, SHOWN), Image.Resampling.NEAREST)
    made = Image.new("RGB", (SHOWN, SHOWN + 40), "white")
    made.paste(drawn, (0, 40))
    text = ImageDraw.Draw(made)
    text.text((4, 4), name, "black")
    text.text((4, 20), f"50 % within {sides[50]}, 99 % within {sides[99]} pixels", "black")
    print(name, sides, flush=True)
    return made


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    panels = []
    for name, network in networks(given.model):
        network.requires_grad_(False)
        panels.append(panel(name, contributions(network, erf.noises(NOISES, SIZE, 3))))
    across = 4
    lines = [panels[start : start + across] for start in range(0, len(panels), across)]
    width, height = across * (SHOWN + 8), len(lines) * (SHOWN + 48)
    sheet = Image.new("RGB", (width, height), "white")
    for row, line in enumerate(lines):
        for column, each in enumerate(line):
            sheet.paste(each, (column * (SHOWN + 8), row * (SHOWN + 48)))
    Image.fromarray(np.asarray(sheet)).save(given.output, optimize=True)


if __name__ == "__main__":
    main()
