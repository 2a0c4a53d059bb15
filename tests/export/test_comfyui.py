"""The node, as a folder below ``custom_nodes`` that is loaded as ComfyUI loads it; its code is not here."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import mambair_cli
from mambair_cli.errors import MambairError

DOCUMENT = Path("docs/export.md")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An object of the class that the documented file registers."""
    lines = DOCUMENT.read_text(encoding="utf-8").split("custom_nodes/mambair/__init__.py")[1].split("```")[1]
    source = tmp_path / "mambair" / "__init__.py"
    source.parent.mkdir()
    source.write_text(lines.removeprefix("python\n"))
    spec = importlib.util.spec_from_file_location("custom_node_of_mambair", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.NODE_DISPLAY_NAME_MAPPINGS.keys() == module.NODE_CLASS_MAPPINGS.keys()
    (kind,) = module.NODE_CLASS_MAPPINGS.values()
    return kind()


def test_a_batch_is_restored_as_by_the_library(node: Any, x2: Path) -> None:
    fields = node.INPUT_TYPES()
    assert fields["required"].keys() | fields["optional"].keys() == {"image", "model", "strength", "file"}
    assert "mambair-nano-x4" in fields["required"]["model"][0]
    batch = torch.rand(2, 9, 14, 3)
    (large,) = getattr(node, node.FUNCTION)(image=batch, model="mambair-nano-x4", strength=1.0)
    assert (large.shape, large.dtype) == ((2, 36, 56, 3), torch.float32)
    model = mambair_cli.load_model("mambair-nano-x4")
    assert torch.equal(large[1], torch.from_numpy(mambair_cli.restore(batch[1].numpy(), model)))
    (twice,) = getattr(node, node.FUNCTION)(image=batch, model="mambair-nano-x4", strength=1.0, file=f" {x2} ")
    assert twice.shape == (2, 18, 28, 3)
    assert len(node.RETURN_TYPES) == 1


def test_what_is_wrong_is_said(node: Any) -> None:
    with pytest.raises(MambairError, match=r"no\.pth"):
        node.run(torch.rand(1, 8, 8, 3), "mambair-nano-x4", 1.0, "no.pth")
