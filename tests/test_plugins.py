"""The example of docs/plugins.md, used as a reader would."""

import os
import subprocess
import sys
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


@pytest.fixture
def said(tmp_path: Path) -> str:
    example = (PROJECT / "docs/plugins.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "my_parts.py").write_text(example, encoding="utf-8")
    (tmp_path / "own.yml").write_text(RECIPE, encoding="utf-8")
    paths = os.pathsep.join([str(PROJECT), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_example_of_the_documentation_works(said: str) -> None:
    assert "Darker(by=3.0)\n1\n" in said
    assert "unknown key 'bi'" in said
    assert "The plugin nowhere does not exist" in said
