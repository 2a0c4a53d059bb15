"""Every row of the registry keeps the contract of a network (:mod:`mambair_archs.network`)."""

from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

import pytest
import torch
from typer.testing import CliRunner

from mambair_archs import ARCHITECTURES, Architecture, complexity, identify, registry
from mambair_archs.config import create, options, text
from mambair_archs.network import GlobalView
from mambair_cli.app import app
from mambair_cli.training.recipe.schema import json_schema

ROWS = pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.name)


def on_meta(row: Architecture) -> Any:
    with torch.device("meta"):
        return row.network()


@ROWS
def test_what_a_network_says_of_itself_agrees(row: Architecture) -> None:
    network, described = on_meta(row), row.describe(row.config())
    assert network.config == row.config()
    assert network.scale == described.scale
    assert network.global_view == described.global_view
    assert isinstance(network, GlobalView) == bool(described.global_view)
    assert described.size_multiple <= network.multiple
    assert described.tile % described.size_multiple == 0
    assert registry.describe(network) == described


@ROWS
def test_its_tensors_identify_it(row: Architecture) -> None:
    found = identify(on_meta(row).state_dict())
    assert found.architecture is row
    assert on_meta(row).state_dict().keys() == found.build("meta").state_dict().keys()


@ROWS
def test_its_stages_hold_everything_and_cost_something(row: Architecture) -> None:
    network = on_meta(row)
    counted = {id(parameter) for module, _ in (*network.stages(), *network.once()) for parameter in module.parameters()}
    once = {name for name, parameter in network.named_parameters() if id(parameter) not in counted}
    assert once <= {"presence.weight", "presence.bias"}, "what works once per picture, not per pixel"
    assert complexity.macs(network, 64, 64) > sum(parameter.numel() for parameter in network.parameters())


@ROWS
def test_it_takes_any_size(row: Architecture) -> None:
    network = on_meta(row).eval()
    channels = row.describe(network.config).in_channels
    with torch.no_grad():
        out = network(torch.empty(1, channels, 7, 33, device="meta"))
    assert out.shape == (1, channels, 7 * network.scale, 33 * network.scale)
    assert out.is_contiguous()


@ROWS
def test_its_options_are_declared_with_type_default_and_text(row: Architecture) -> None:
    hints = get_type_hints(row.config)
    for name, option in options(row.config).items():
        assert name in hints
        assert text(option).endswith(".")
    assert row.config.__dataclass_params__.frozen
    with pytest.raises(TypeError, match="has no option 'colour'"):
        create(row.config, {"colour": 1})


@ROWS
def test_recipes_and_help_know_its_options(row: Architecture) -> None:
    schema = json_schema()["$defs"][row.name]
    for name, option in options(row.config).items():
        shown = schema["properties"][name]
        assert shown["description"] == text(option)
        default = list(option.default) if isinstance(option.default, tuple) else option.default
        default = None if is_dataclass(default) else default  # its own options have theirs
        assert shown.get("default") == default
    assert schema["description"] == str(row.network.__doc__).split("\n")[0]


def test_types_in_a_schema_are_those_of_the_options() -> None:
    shown = json_schema()["$defs"]["MambaIR"]["properties"]
    assert shown["depths"]["items"]["type"] == "integer"
    heads = get_args(get_type_hints(registry.get("MambaIR").config)["upsampler"])
    assert set(shown["upsampler"]["enum"]) == set(heads)
    assert CliRunner().invoke(app, ["train", "--help"]).exit_code == 0
