"""The example of docs/plugins.md, used as a reader would."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
RECIPE = """
name: own
plugins: [my_parts]
model_type: MambaIRModel
network_g: {type: MambaIR, upscale: 1}
datasets:
  train: {name: p, type: PhotoPatchDataset, dataroot_gt: p, gt_size: 16, batch_size_per_gpu: 1,
          degradation: {type: darker, by: 3.0}}
train:
  total_iter: 2
  optim_g: {type: Adam, lr: 1.0e-3}
  scheduler: {type: MultiStepLR, milestones: [1]}
  ema_decay: 0.9
  pixel_opt: {type: L1Loss}
"""
PROGRAM = """
import sys
from mambair_cli.training.recipe.reading import json_schema, read_recipe
from mambair_cli.data.combined import from_options
recipe = read_recipe("own.yml")
print(from_options(recipe.options["datasets"]["train"]["degradation"], 1))
print(sorted(json_schema()["$defs"]).count("darker"))
try:
    read_recipe("own.yml", ["datasets.train.degradation.bi=1"])
except Exception as error:
    print(error)
try:
    read_recipe("own.yml", ["plugins=[nowhere]"])
except Exception as error:
    print(error)
"""

NETWORK = """
from mambair_cli.plugins import architecture, network
from tests.archs import toy

network(architecture(toy, toy.Toy, toy.ToyConfig))
"""
ALL_OWN = """
name: own
plugins: [my_parts]
model_type: MambaIRModel
network_g: {type: Toy, width: 4, layers: 1}
num_gpu: 0
datasets:
  train: {name: s, type: Stripes, count: 8, batch_size_per_gpu: 2}
  val: {name: v, type: Stripes, count: 2}
train:
  total_iter: 2
  optim_g: {type: Adam, lr: 1.0e-3}
  scheduler: {type: MultiStepLR, milestones: [1]}
  pixel_opt: {type: EdgeLoss}
val:
  val_freq: 2
  metrics: {worst: {type: worst_pixel}}
"""


def run(folder: Path, recipe: str, module: str, *command: str) -> str:
    """What a program says that is begun beside a recipe and a module of own parts."""
    (folder / "my_parts.py").write_text(module, encoding="utf-8")
    (folder / "own.yml").write_text(recipe, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT), *filter(None, sys.path)]), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def example() -> str:
    return (PROJECT / "docs/plugins.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]


@pytest.mark.skipif(find_spec("basicsr") is None, reason="BasicSR is not installed")
def test_network_loss_metric_and_data_set_of_ones_own_train(tmp_path: Path, example: str) -> None:
    run(tmp_path, ALL_OWN, example + NETWORK, "-m", "mambair_cli", "train", "own.yml")
    [folder] = (tmp_path / "experiments").iterdir()
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[-1]["v/worst"] > 0
    assert (folder / "models/net_g_latest.pth").is_file()


def test_the_example_of_the_documentation_works(tmp_path: Path, example: str) -> None:
    said = run(tmp_path, RECIPE, example, "-c", PROGRAM)
    assert "Darker(by=3.0)\n1\n" in said
    assert "unknown key 'bi'" in said
    assert "The plugin nowhere does not exist" in said
