"""Keys, shapes and outputs against vectors made with the published implementation."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mambair_archs import complexity, registry, setting
from tests.golden import weights

FOLDER = Path(__file__).parents[1] / "golden"
INDEX: dict[str, Any] = json.loads(gzip.decompress((FOLDER / "index.json.gz").read_bytes()))
EARLIER: dict[str, dict[str, Any]] = {
    "mambair_light_gen_a_x2": {"conv_block": "depthwise"},
    "mambair_light_gen_b_x2": {"conv_block": "bottleneck", "compress_ratio": 6},
}


def build(name: str) -> torch.nn.Module:
    options = dict(INDEX[name]["network_g"])
    return registry.get(options.pop("type")).network(**options, **EARLIER.get(name, {})).eval()


@pytest.mark.parametrize("name", INDEX)
def test_state_dict_and_output_equal_the_published_ones(name: str) -> None:
    entry = INDEX[name]
    network = build(name)
    state_dict = network.state_dict()
    keys = {key: [list(value.shape), str(value.dtype).removeprefix("torch.")] for key, value in state_dict.items()}
    keys.pop(setting.KEY, None)
    assert keys == entry["state_dict"]
    assert complexity.parameters(network) == entry["parameters"]
    network.load_state_dict(weights.fill(state_dict, **entry.get("fill", {})))
    batch, channels, height, width = entry["input"]
    with torch.inference_mode():
        output = network(weights.image(height, width, channels, batch)).numpy()
    expected = np.load(FOLDER / f"{name}.npz")["output"]
    assert output.shape == tuple(entry["output"]) == expected.shape
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", INDEX)
def test_configuration_is_read_back_from_the_tensors(name: str) -> None:
    network: Any = build(name)
    found = registry.identify(network.state_dict())
    options = vars(network.config) | ({"img_size": 64} if "img_size" in vars(network.config) else {})
    assert found.architecture.network is type(network)
    assert vars(found.config) == options  # the image size of a recipe leaves no trace in the weights


@pytest.mark.parametrize(
    ("name", "height", "width", "published"),
    [
        ("mambair_light_x2", 360, 640, 334.2),
        ("mambair_light_x4", 180, 320, 84.6),
        ("mambairv2_light_x2", 360, 640, 286.3),
        ("mambairv2_light_x4", 180, 320, 75.6),
        ("mambair_unet_realdn", 256, 256, 230),
    ],
)
def test_multiply_accumulates_equal_the_papers_table(name: str, height: int, width: int, published: float) -> None:
    network: Any = build(name)
    assert complexity.macs(network, height, width) / 1e9 == pytest.approx(published, rel=1e-3)
