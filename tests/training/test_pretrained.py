"""Training starts from weights in any file that they are published in, or says why it does not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mambair_cli.errors import ModelError
from mambair_cli.training import pretrained
from mambair_cli.weights import catalog

from .conftest import edsr, train

Tensors = dict[str, Tensor]


def network(seed: int = 0, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Conv2d(width, 3, 3))


def below(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}.{name}": value for name, value in tensors.items()}


CONTAINERS: dict[str, Callable[[Tensors], Any]] = {
    "bare": lambda tensors: tensors,
    "params": lambda tensors: {"params": tensors},
    "params_ema only": lambda tensors: {"params_ema": tensors},
    "params_ema empty": lambda tensors: {"params_ema": {}, "params": tensors},
    "state_dict": lambda tensors: {"state_dict": below("net_g", tensors), "epoch": 3},
    "compiled": lambda tensors: {"params": below("_orig_mod", tensors)},
    "parallel": lambda tensors: {"model": below("module", tensors)},
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_read(tmp_path: Path, container: str) -> None:
    given = network(1).state_dict()
    torch.save(CONTAINERS[container](dict(given)), tmp_path / "w.pth")
    taken = network(2)
    pretrained.load(taken, tmp_path / "w.pth", True, "params")
    assert all(torch.equal(value, given[name]) for name, value in taken.state_dict().items())


def test_content_counts_not_the_suffix(tmp_path: Path) -> None:
    save_file(dict(network(1).state_dict()), tmp_path / "w.pth")
    taken = network(2)
    pretrained.load(taken, tmp_path / "w.pth", True, "params")
    assert torch.equal(taken.state_dict()["0.bias"], network(1).state_dict()["0.bias"])


@pytest.mark.parametrize(("key", "seed"), [("params", 1), ("params_ema", 2)])
def test_the_named_entry_is_taken_of_several(tmp_path: Path, key: str, seed: int) -> None:
    torch.save({"params": network(1).state_dict(), "params_ema": network(2).state_dict()}, tmp_path / "w.pth")
    taken = network(3)
    pretrained.load(taken, tmp_path / "w.pth", True, key)
    assert torch.equal(taken.state_dict()["1.weight"], network(seed).state_dict()["1.weight"])


def test_what_does_not_fit_is_told_and_nothing_is_taken(tmp_path: Path) -> None:
    torch.save({"params": network(1, width=5).state_dict()}, tmp_path / "w.pth")
    taken = network(2)
    with pytest.raises(ModelError, match="1 of the network's 4 tensors fit; of another shape: 0"):
        pretrained.load(taken, tmp_path / "w.pth", True, "params")
    assert torch.equal(taken.state_dict()["1.bias"], network(2).state_dict()["1.bias"])


def test_part_of_a_file_is_taken_on_request_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch.save({"params": network(1, width=5).state_dict()}, tmp_path / "w.pth")
    taken = network(2)
    pretrained.load(taken, tmp_path / "w.pth", False, "params")
    assert "1 of the network's 4 tensors fit" in caplog.text
    assert torch.equal(taken.state_dict()["1.bias"], network(1, width=5).state_dict()["1.bias"])


def test_a_file_of_which_nothing_fits_is_refused_even_on_request(tmp_path: Path) -> None:
    torch.save({"params": {"head.weight": torch.ones(2)}}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="0 of the network's 4 tensors fit"):
        pretrained.load(network(), tmp_path / "w.pth", False, "params")


def test_missing_weights_of_the_catalogue_name_the_command_that_fetches_them(tmp_path: Path) -> None:
    entry = next(entry for entry in catalog.entries() if not entry.bundled)
    with pytest.raises(ModelError) as caught:
        pretrained.load(network(), tmp_path / entry.file, True, "params")
    assert f"mambair fetch {entry.name}" in caught.value.hint


def test_a_recipe_starts_from_them_and_says_how_many_fitted(place: Path) -> None:
    assert train(edsr(train__total_iter=1, train__ema_decay=0, name="first")).code == 0
    wider = {**edsr()["network_g"], "num_feat": 6}
    weights = {"pretrain_network_g": "experiments/first/models/net_g_1.pth", "strict_load_g": False}
    outcome = train(edsr(train__total_iter=1, network_g=wider, path=weights))
    assert outcome.code == 0
    assert "Warning: weights of" in outcome.err
    assert outcome.err.count("1 of the network's 12 tensors fit") == 1, outcome.err
    refused = train(edsr(name="other", network_g=wider, path={**weights, "strict_load_g": True}))
    assert (refused.code, "1 of the network's 12 tensors fit" in refused.err) == (1, True)


def test_a_damaged_checkpoint_is_passed_over_and_the_run_ends_as_ever(place: Path) -> None:
    assert train({**edsr(), "name": "straight"}).code == 0
    assert train(edsr(train__total_iter=10)).code == 0
    state = Path("experiments/tiny/training_states/10.state")
    state.write_bytes(state.read_bytes()[:100])
    outcome = train(edsr())
    assert outcome.code == 0
    assert "Warning: the checkpoint of iteration 10 cannot be used" in outcome.err
    assert "going on from iteration 5" in outcome.err
    paths = [Path("experiments", name, "models/net_g_12.pth") for name in ("straight", "tiny")]
    one, two = (torch.load(path, weights_only=True)["params"] for path in paths)
    assert all(torch.equal(one[name], two[name]) for name in one)
