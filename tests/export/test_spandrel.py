"""spandrel's own loader with our networks, and our commands with a network of spandrel's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mambair_archs import MambaIRNano, MambaIRv2Light
from mambair_cli import load_model, restore
from mambair_cli.export import extra
from mambair_cli.export import spandrel as ours
from mambair_cli.weights.loader import locate
from tests.cli.run import run
from tests.conftest import TINY_V2

pytestmark = pytest.mark.filterwarnings("ignore")  # those of packages that spandrel brings


@pytest.fixture(scope="module")
def compact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Compact (Real-ESRGAN's animevideo network), made by spandrel's class and trained a little."""
    if not extra.available("spandrel"):
        pytest.skip("spandrel is not installed")
    ours.module()
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact

    torch.manual_seed(0)
    network = SRVGGNetCompact(num_feat=8, num_conv=2, upscale=2)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(20):
        large = torch.rand(4, 3, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
        loss = (network(torch.nn.functional.avg_pool2d(large, 2)) - large).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("spandrel") / "compact.pth"
    torch.save({"params_ema": network.state_dict()}, path)
    return path


def test_spandrels_loader_gives_our_pixels(compact: Path, tmp_path: Path) -> None:
    import spandrel

    ours.install()
    ours.install()
    second = tmp_path / "v2.pth"
    torch.save({"params": MambaIRv2Light(**TINY_V2).state_dict()}, second)
    bundled, _ = locate("mambair-nano-x4")
    for path, network in ((bundled, MambaIRNano), (second, MambaIRv2Light)):
        found = spandrel.ModelLoader().load_from_file(path)
        assert isinstance(found, spandrel.ImageModelDescriptor)
        assert isinstance(found.model, network)
        model = load_model(path, "cpu")
        assert (found.scale, found.purpose) == (model.descriptor.scale, "SR")
        image = torch.rand(1, 3, 13, 21)
        with torch.inference_mode():
            assert torch.equal(found(image), model.network.eval()(image).clamp(0, 1))
    assert spandrel.ModelLoader().load_from_file(compact).architecture.id == "Compact"


def test_a_network_of_spandrel_restores_in_tiles_as_a_whole(
    compact: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    pixels = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    model = load_model(compact, "cpu")
    whole, tiled = (restore(pixels, model, tile=tile, overlap=16) for tile in (0, 40))
    np.testing.assert_array_equal(whole, tiled)
    picture, out = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(pixels).save(picture)
    outcome = run("upscale", str(picture), "--model", str(compact), "-o", str(out), "--whole")
    assert outcome.code == 0, outcome.err
    np.testing.assert_array_equal(np.asarray(Image.open(out)), whole)
    shown = json.loads(run("--json", "models", "show", str(compact)).out)
    assert (shown["network"], shown["scale"], shown["channels"]) == ("RealESRGAN Compact (spandrel)", 2, 3)


def test_what_nobody_knows_is_refused(compact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = tmp_path / "stranger.pth"
    torch.save({"a": torch.zeros(3)}, stranger)
    picture = tmp_path / "in.png"
    Image.new("RGB", (8, 8)).save(picture)
    outcome = run("upscale", str(picture), "--model", str(stranger))
    assert outcome.code == 1
    assert "none that spandrel knows" in outcome.err
    monkeypatch.setattr(extra, "available", lambda name: False)
    outcome = run("upscale", str(picture), "--model", str(compact))
    assert outcome.code == 1
    assert "mambair[spandrel]" in outcome.err
