"""Networks of BasicSR that were trained here are tested and restored with like ours."""

import json
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from mambair_cli.errors import ModelError
from mambair_cli.weights import files
from mambair_cli.weights.loader import load
from tests.cli.run import run

from .conftest import MAMBAIR, edsr, train

NETWORKS: dict[str, dict[str, Any]] = {
    "EDSR": edsr()["network_g"] | {"res_scale": 0.5},
    "MSRResNet": {"type": "MSRResNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 2},
    "SwinIR": {"type": "SwinIR", "upscale": 2, "in_chans": 3, "img_size": 8, "window_size": 4, "img_range": 1.0}
    | {"depths": [1], "embed_dim": 4, "num_heads": [1], "mlp_ratio": 2, "upsampler": "pixelshuffledirect"},
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_train_made_is_measured_and_used(kind: str, place: Path, data: Path) -> None:
    recipe = edsr(network_g=NETWORKS[kind], train__total_iter=1, val={})
    assert train(recipe).code == 0
    weights = "experiments/tiny/models/net_g_latest.pth"
    outcome = run("upscale", str(data / "lr" / "0.png"), "--model", weights, "-o", "big.png")
    assert outcome.code == 0, outcome.err
    image = cv2.imread("big.png")
    assert image is not None
    assert image.shape == (32, 32, 3)


def test_a_recipe_tells_of_weights_that_do_not(place: Path, data: Path) -> None:
    recipe = edsr(network_g=NETWORKS["EDSR"], train__total_iter=1, val={})
    assert train(recipe).code == 0
    weights = "experiments/tiny/models/net_g_latest.pth"
    outcome = run("test", "--model", weights, "--data", str(data / "hr"), "--json")
    assert outcome.code == 0, outcome.err
    from_file = json.loads(outcome.out.splitlines()[0])
    bare = {key: value for key, value in torch.load(weights, weights_only=True).items() if key != files.NETWORK}
    torch.save(bare, "bare.pth")  # as BasicSR writes it
    recipe["datasets"]["test"] = recipe["datasets"].pop("val") | {"name": "few"}
    del recipe["datasets"]["train"], recipe["train"]
    Path("test.yml").write_text(json.dumps(recipe))
    outcome = run("test", "test.yml", "path.pretrain_network_g=bare.pth", "--json")
    assert outcome.code == 0, outcome.err
    assert from_file.keys() == json.loads(outcome.out.splitlines()[0]).keys()
    outcome = run("upscale", str(data / "lr" / "0.png"), "--model", "bare.pth", "-o", "other.png")
    assert (outcome.code, "experiments/NAME/models, below its recipe" in outcome.err) == (1, True)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_recipe_in_an_experiment_of_basicsr_tells_of_its_weights(kind: str, place: Path, data: Path) -> None:
    from basicsr.archs import build_network

    network = build_network(dict(NETWORKS[kind]))
    folder = Path("experiments/old")
    (folder / "models").mkdir(parents=True)
    torch.save({"params": network.state_dict()}, folder / "models/net_g_9.pth")
    recipe = edsr(network_g=NETWORKS[kind])
    # as basicsr.utils.options.copy_opt_file leaves it
    (folder / "train.yml").write_text(
        "# GENERATE TIME: now\n# CMD:\n# train.py -opt train.yml\n\n" + json.dumps(recipe)
    )
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(load(folder / "models/net_g_9.pth", "cpu").network(image), network.eval()(image))
    recipe["network_g"] = recipe["network_g"] | {"upscale": 4}
    (folder / "other.yml").write_text(json.dumps(recipe))
    with pytest.raises(ModelError, match="fits no known network"):
        load(folder / "models/net_g_9.pth", "cpu")


def test_options_that_no_tensor_tells_count(place: Path, data: Path) -> None:
    from basicsr.archs import build_network

    assert train(edsr(network_g=NETWORKS["EDSR"], train__total_iter=1, train__ema_decay=0, val={})).code == 0
    path = Path("experiments/tiny/models/net_g_latest.pth")
    expected = build_network(dict(NETWORKS["EDSR"]))
    expected.load_state_dict(torch.load(path, weights_only=True)["params"])
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(load(path, "cpu").network(image), expected(image))


def test_files_of_our_own_networks_stay_as_they_were(place: Path) -> None:
    assert train(edsr(network_g=MAMBAIR, train__total_iter=1, val={})).code == 0
    content = torch.load("experiments/tiny/models/net_g_latest.pth", weights_only=True)
    assert content.keys() == {"params", "params_ema"}
