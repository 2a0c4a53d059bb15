"""One module and one row make a network that every command knows."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mambair_archs import ARCHITECTURES, registry
from mambair_cli.images.decode import decode
from tests.archs import toy
from tests.data.pictures import natural, write

ROW = registry.architecture(toy, toy.Toy, toy.ToyConfig)
PROGRAM = """
import json, sys
from typer.testing import CliRunner
from mambair_archs import registry
from tests.archs import toy

registry.add(registry.architecture(toy, toy.Toy, toy.ToyConfig))

from mambair_cli.app import app

done = [CliRunner().invoke(app, arguments) for arguments in json.load(sys.stdin)]
print(json.dumps([[each.exit_code, each.stdout, each.stderr] for each in done]))
"""
RECIPE = """
name: toy
model_type: MambaIRModel
network_g: {type: Toy, width: 4, layers: 1}
datasets:
  train:
    name: photos
    type: PhotoPatchDataset
    dataroot_gt: photos
    degradation: {type: noise, sigma: 15}
    gt_size: 16
    batch_size_per_gpu: 1
train:
  total_iter: 2
  optim_g: {type: Adam, lr: 1.0e-3}
  scheduler: {type: MultiStepLR, milestones: [1]}
  pixel_opt: {type: L1Loss}
"""
COMMANDS = {
    "restore": "denoise photos/a.png -o b.png --model toy.safetensors",
    "show": "models show toy.safetensors --json",
    "schema": "train --schema",
    "reference": "train --reference",
    "mistaken": "train toy.yml network_g.widht=1",
    "too few": "train toy.yml network_g.layers=0",
    "enlarging": "train toy.yml scale=2",
    "rehearsal": "train toy.yml --dry-run --root .",
}


def mambair(*commands: str) -> list[tuple[int, str, str]]:
    """Exit code, output and messages of commands, in a program that knows the toy."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"},
        input=json.dumps([command.split() for command in commands]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


def test_a_row_more_is_a_network_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ARCHITECTURES", [*ARCHITECTURES])
    registry.add(ROW)
    assert registry.identify(toy.Toy(width=6).state_dict()).config == toy.ToyConfig(width=6)
    with pytest.raises(ValueError, match="Toy is known"):
        registry.add(ROW)


def test_every_command_knows_the_toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_file(toy.Toy(width=4, layers=1).state_dict(), "toy.safetensors")
    write(Path("photos/a.png"), natural(0, 24, 32))
    Path("toy.yml").write_text(RECIPE)
    done = dict(zip(COMMANDS, mambair(*COMMANDS.values()), strict=True))

    assert done["restore"][0] == 0
    assert decode(Path("b.png")).pixels.shape == (24, 32, 3)
    shown = json.loads(done["show"][1])
    assert (shown["network"], shown["options"]) == ("Toy", {"width": 4, "layers": 1})
    assert shown["macs_per_pixel"] > 0
    known = json.loads(done["schema"][1])["$defs"]["Toy"]
    assert known["description"] == "A few scans between two convolutions."
    assert known["properties"]["layers"]["description"] == "Scans, one after the other."
    assert known["properties"]["layers"]["default"] == 2
    assert "### Toy\n\nA few scans between two convolutions." in done["reference"][1]
    assert "| `layers` | integer | `2` | Scans, one after the other. |" in done["reference"][1]
    for name, told in {
        "mistaken": "Did you mean 'width'?",
        "too few": "layers 0 must be at least 1",
        "enlarging": "Toy keeps the size",
    }.items():
        assert done[name][0] != 0
        assert told in done[name][2]
    if find_spec("basicsr"):
        assert done["rehearsal"][0] == 0, done["rehearsal"]
