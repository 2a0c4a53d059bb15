"""Networks as ONNX: the same pixels from onnxruntime, at sizes that were never traced, in standard operators only."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import mambair_cli
from mambair_archs import MambaIR, MambaIRNano, MambaIRNanoUNet, MambaIRUNet, MambaIRv2Light
from mambair_cli.export import onnx, session
from mambair_cli.weights.model import Model
from mambair_kernels import CROSS_SCAN, scan_2d, selective_scan
from mambair_kernels import Path as ScanPath
from mambair_kernels.paths import SNAKE
from tests.cli.run import run
from tests.conftest import TINY, TINY_V2

pytest.importorskip("onnxruntime")
import onnx as standard
import onnx_ir

from mambair_cli.export.trace import OPSET, trace

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def outputs(module: nn.Module, channels: int, *pictures: Tensor) -> list[np.ndarray]:
    given = {"image": (torch.rand(1, channels, 24, 40), torch.rand(1, channels, 40, 24))}
    ready = session.session(onnx_ir.to_proto(trace(module, given, "restored")).SerializeToString())
    return [session.run(ready, image=picture)[0] for picture in pictures]


@pytest.fixture(scope="module")
def small(checkpoint: Callable[..., Path]) -> Path:
    """Weights of one block."""
    return checkpoint(upscale=2, depths=(1,))


def test_a_file_gives_the_pixels_of_the_model_at_any_size(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "tiny.onnx"
    outcome = run("--json", "export", str(small), str(target))
    assert outcome.code == 0, outcome.err
    written = standard.load(target)
    assert {each.domain: each.version for each in written.opset_import} == {"": OPSET}
    assert {node.domain for node in written.graph.node} == {""}
    model, ready = mambair_cli.load_model(small, "cpu"), session.session(target.read_bytes())
    for height, width in ((1, 1), (2, 7), (16, 16), (37, 18)):
        image = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            wanted = model.network(image)
        (got,) = session.run(ready, image=image)
        np.testing.assert_allclose(got, wanted.numpy(), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    "network",
    [
        lambda: MambaIRv2Light(**TINY_V2),
        lambda: MambaIRNano(embed_dim=8, depth=1, scan_after=(1,), scan_dim=8, upscale=2),
        lambda: MambaIRNanoUNet(dims=(8, 12), blocks=(1, 1), scan_dim=8, d_state=2),
        lambda: MambaIR(**TINY | {"upscale": 4, "upsampler": "pixelshuffle"}),
        lambda: MambaIRUNet(dim=30, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, d_state=2),
    ],
    ids=["MambaIRv2", "MambaIRNano", "MambaIRNanoUNet", "MambaIR", "MambaIRUNet"],
)
def test_other_networks_equal_ours(network: Callable[[], nn.Module]) -> None:
    ours = network().eval()
    for value in ours.parameters():
        value.data += 0.05 * torch.randn(value.shape)
    pictures = [torch.rand(1, 3, height, width) for height, width in ((1, 1), (4, 4), (9, 18))]
    for got, picture in zip(outputs(ours, 3, *pictures), pictures, strict=True):
        with torch.inference_mode():
            np.testing.assert_allclose(got, ours(picture).numpy(), rtol=1e-4, atol=3e-5)


def test_half_is_half_as_large_and_close(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "half.onnx"
    outcome = run("--json", "export", str(small), str(target), "--fp16")
    assert outcome.code == 0, outcome.err
    kinds = {value.data_type for value in standard.load(target).graph.initializer}
    assert standard.TensorProto.FLOAT16 in kinds
    model, image = mambair_cli.load_model(small, "cpu"), torch.rand(1, 3, 12, 20)
    with torch.inference_mode():
        wanted = model.network(image)
    (got,) = session.run(session.session(target.read_bytes()), image=image)
    assert 0 < abs(got - wanted.numpy()).max() < 5e-3


def test_eight_bits_are_smaller_and_say_what_they_cost(small: Path, tmp_path: Path) -> None:
    target, plain = tmp_path / "int8.onnx", tmp_path / "plain.onnx"
    outcome = run("--json", "export", str(small), str(target), "--quantize", "int8")
    assert outcome.code == 0, outcome.err
    kinds = {value.data_type for value in standard.load(target).graph.initializer}
    assert standard.TensorProto.INT8 in kinds
    model, photo = mambair_cli.load_model(target), np.asarray(Image.open("datasets/samples/cat.png"))
    ours = mambair_cli.restore(photo, mambair_cli.load_model(small, "cpu"))
    error = mambair_cli.restore(photo, model).astype(float) - ours
    psnr = 10 * np.log10(255**2 / np.square(error).mean())
    assert json.loads(outcome.out)["psnr"] - 3 < psnr < 70
    assert run("export", str(small), str(plain), "--quantize", "int8", "--fp16").code == 2
    assert not plain.exists()


class Repeated(nn.Module):
    """Blocks of two kinds, each more than once, with weights of their own and one that all share."""

    def __init__(self) -> None:
        super().__init__()
        shared = nn.Parameter(torch.randn(4))
        self.blocks = nn.ModuleList(Tilted(shared, k % 2) for k in range(5))

    def forward(self, image: Tensor) -> Tensor:
        x = image.permute(0, 2, 3, 1)
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)


class Tilted(nn.Module):
    """A scan, and a shift that is no weight."""

    def __init__(self, shared: nn.Parameter, shift: int) -> None:
        super().__init__()
        self.scans, self.shared, self.shift = Scans(CROSS_SCAN[shift:], prompted=False), shared, shift

    def forward(self, x: Tensor) -> Tensor:
        y = self.scans(x.roll(self.shift, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.shared * torch.tanh(y)


class Scans(nn.Module):
    """Both scans with what networks do to them: static paths, paths by table, and a bias of C by step."""

    def __init__(self, paths: tuple[ScanPath, ...], prompted: bool) -> None:
        super().__init__()
        self.paths, self.prompted = paths, prompted
        directions, channels, states, rank = len(paths), 4, 3, 2
        self.x_proj = nn.Parameter(torch.randn(directions, rank + 2 * states, channels))
        self.dt_proj = nn.Parameter(torch.randn(directions, channels, rank))
        self.dt_bias = nn.Parameter(torch.randn(directions, channels))
        self.A_log = nn.Parameter(torch.rand(directions * channels, states))
        self.D = nn.Parameter(torch.randn(directions * channels))

    def forward(self, image: Tensor) -> Tensor:
        x = image.permute(0, 2, 3, 1)
        prompt = x.flatten(1, 2)[..., :3] if self.prompted else None
        y = scan_2d(x, self.x_proj, self.dt_proj, self.dt_bias, self.A_log, self.D, self.paths, prompt)
        return y.permute(0, 3, 1, 2)


class Sequences(nn.Module):
    """Two groups of two channels, which read an image as it lies."""

    def __init__(self) -> None:
        super().__init__()
        self.A = nn.Parameter(-torch.rand(4, 3))
        self.D, self.bias = nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(4))

    def forward(self, image: Tensor) -> Tensor:
        u = image.flatten(2)
        B = torch.stack([u[:, :3], u[:, 1:]], 1)
        y = selective_scan(u, u.flip(1), self.A, B, B.flip(1), self.D, self.bias, True)
        return y.reshape(image.shape)


@pytest.mark.parametrize(
    "module",
    [
        lambda: Scans(CROSS_SCAN, prompted=False),
        lambda: Scans((SNAKE.transposed.reversed, CROSS_SCAN[1]), prompted=True),
        Sequences,
        Repeated,
    ],
    ids=["cross-scan", "tables and prompts", "sequences", "repeated blocks"],
)
def test_scans_equal_ours(module: Callable[[], nn.Module]) -> None:
    scans = module()
    pictures = [torch.rand(1, 4, 3, 5), torch.rand(1, 4, 8, 8), torch.rand(1, 4, 9, 11)]
    for got, picture in zip(outputs(scans, 4, *pictures), pictures, strict=True):
        with torch.inference_mode():
            np.testing.assert_allclose(got, scans(picture).numpy(), rtol=1e-4, atol=1e-5)


def test_a_file_that_gives_other_pixels_is_not_written(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serialise = onnx.serialised

    def changed(model: Model, half: bool) -> dict[str, bytes]:
        contents = serialise(model, half)
        with torch.no_grad():
            model.network.get_parameter("conv_first.weight").add_(0.01)
        return contents

    monkeypatch.setattr(onnx, "serialised", changed)
    target = tmp_path / "out.onnx"
    outcome = run("export", str(small), str(target))
    assert outcome.code == 1
    assert "differs by" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_is_said_before_the_work(x2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there.onnx"
    there.write_bytes(b"kept")
    outcome = run("export", str(x2), str(there))
    assert (outcome.code, there.read_bytes()) == (1, b"kept")
    assert "exists" in outcome.err
    assert run("export", str(x2), str(tmp_path / "out.pt")).code == 2
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    outcome = run("export", str(x2), str(tmp_path / "new.onnx"))
    assert outcome.code == 1
    assert "mambair[onnx]" in outcome.err
