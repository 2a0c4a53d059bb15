from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import mambair_cli
from mambair_archs import MambaIR, MambaIRv2Light
from mambair_cli.errors import DeviceError, ModelError, UsageError
from mambair_cli.restoration.model import settings
from mambair_cli.weights import catalog, model


def test_a_checkpoint_becomes_a_model(x2: Path) -> None:
    model = mambair_cli.load_model(x2)
    assert isinstance(model.network, MambaIR)
    assert not model.network.training
    assert (model.name, model.task, model.descriptor.scale) == (x2.stem, None, 2)
    stored = torch.load(x2, weights_only=True)["params"]
    assert all(torch.equal(value, stored[key]) for key, value in model.network.state_dict().items())


def test_name_and_task_come_from_the_metadata(x1: Path, tmp_path: Path) -> None:
    path = tmp_path / "any.safetensors"
    save_file(torch.load(x1, weights_only=True)["params"], path, {"name": "mine", "task": "dehaze"})
    model = mambair_cli.load_model(path)
    assert (model.name, model.task) == ("mine", "dehaze")


def test_name_and_task_come_from_the_catalogue_by_checksum(x1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib
    from dataclasses import replace

    digest = hashlib.sha256(x1.read_bytes()).hexdigest()
    known = replace(catalog.select("dejpeg")[0], sha256=digest)
    monkeypatch.setattr(catalog, "entries", lambda: (known,))
    model = mambair_cli.load_model(x1)
    assert (model.name, model.task) == (known.name, "dejpeg")


@pytest.mark.parametrize("variable", ["MAMBAIR_DATA", "MAMBAIR_CACHE"])
def test_a_catalogue_name_finds_the_downloaded_file(
    variable: str, checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"mambairv2-light-x2 has not been downloaded") as caught:
        mambair_cli.load_model("mambairv2-light-x2")
    assert "mambair fetch mambairv2-light-x2" in caught.value.hint
    monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "models").mkdir()
    source = checkpoint(MambaIRv2Light)
    (tmp_path / "models" / "mambairv2_lightSR_x2.pth").write_bytes(source.read_bytes())
    model = mambair_cli.load_model("mambairv2-light-x2")
    assert (model.name, model.task) == ("mambairv2-light-x2", "upscale")
    there = [entry.name for entry in catalog.entries() if entry.installed and not entry.bundled]
    assert there == ["mambairv2-light-x2"]


def test_weights_of_another_network_are_explained(tmp_path: Path, x2: Path) -> None:
    state_dict = torch.load(x2, weights_only=True)["params"]
    state_dict["norm.weight"] = torch.zeros(31)
    torch.save(state_dict, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"closest is MambaIR: norm\.weight is \(31,\) instead of \(30,\)"):
        mambair_cli.load_model(tmp_path / "a.pth")


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "meta", "cpu:x", "hpu", "mkldnn", ""])
def test_a_device_that_is_not_there(device: str) -> None:
    with pytest.raises(DeviceError):
        model.resolve_device(device)


def test_a_window_index_in_the_file_does_not_reach_the_layers(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    state_dict = torch.load(checkpoint(MambaIRv2Light), weights_only=True)["params"]
    state_dict["relative_position_index_SA"].fill_(10**6)
    torch.save(state_dict, tmp_path / "a.pth")
    image = np.zeros((5, 5, 3), np.uint8)
    assert mambair_cli.restore(image, mambair_cli.load_model(tmp_path / "a.pth")).shape == (10, 10, 3)


def test_catalogue_entries_are_sound() -> None:
    from mambair_archs import registry

    entries = catalog.entries()
    assert len({entry.name for entry in entries}) == len(entries) == len({entry.file for entry in entries})
    for entry in entries:
        assert registry.get(entry.arch)
        assert entry.task in ("upscale", "denoise", "dejpeg", "dehaze")
        assert (entry.scale > 1) == (entry.task == "upscale")
        assert entry.sha256 is None or len(entry.sha256) == 64
        assert not Path(entry.name).suffix
        if entry.bundled:
            assert (entry.url, entry.mirrors, Path(entry.file).suffix) == ("", (), ".safetensors")
        else:
            assert entry.url.startswith("https://")
            assert Path(entry.file).suffix == ".pth"


@pytest.mark.parametrize(
    ("shape", "dtype"), [((9, 7), np.uint8), ((9, 7, 1), np.uint16), ((9, 7, 3), np.float32), ((1, 1, 4), np.uint8)]
)
def test_restore_keeps_type_and_layout(shape: tuple[int, ...], dtype: type[np.generic], x2: Path) -> None:
    model = mambair_cli.load_model(x2)
    image = (np.random.default_rng(0).random(shape) * (1 if dtype is np.float32 else 200)).astype(dtype)
    result = mambair_cli.restore(image, model)
    assert result.dtype == image.dtype
    assert result.shape == (shape[0] * 2, shape[1] * 2, *shape[2:])
    assert np.array_equal(result, mambair_cli.restore(image, model))


@pytest.mark.parametrize("image", [np.zeros((3, 3, 5), np.uint8), np.zeros(3, np.uint8), np.zeros((0, 3, 3), np.uint8)])
def test_restore_refuses_what_is_no_image(image: np.ndarray, x2: Path) -> None:
    with pytest.raises(UsageError, match="cannot be restored"):
        mambair_cli.restore(image, mambair_cli.load_model(x2))
    with pytest.raises(UsageError, match="int64"):
        mambair_cli.restore(np.zeros((3, 3, 3), np.int64), mambair_cli.load_model(x2))


def test_short_memory_makes_the_tile_smaller_and_says_so(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mambair_cli.restoration import engine, memory
    from mambair_cli.restoration.engine import Report
    from tests.restoration.stubs import restore

    model = mambair_cli.load_model(x2)
    image = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    expected = restore(image, model, tile=64, overlap=8)
    tiling, per_pixel = settings(model, 64, 8), model.descriptor.bytes_per_pixel
    room = engine._needed((100, 100), 64, tiling, per_pixel)
    monkeypatch.setattr(memory, "available", lambda device: room)
    report = Report()
    assert np.array_equal(restore(image, model, overlap=8, report=report), expected)
    assert report.tile == 64
    assert "free memory are too little, using tiles of 64 pixels" in report.retries[0]


@pytest.mark.parametrize("value", [1.5, -0.1, float("nan")])
def test_float_pixels_outside_the_range_are_refused(value: float, x2: Path) -> None:
    image = np.full((4, 4, 3), value, np.float32)
    with pytest.raises(UsageError, match="outside 0 to 1"):
        mambair_cli.restore(image, mambair_cli.load_model(x2))


def test_default_tiling_comes_from_the_network(x2: Path) -> None:
    model = mambair_cli.load_model(x2)
    assert (settings(model, None, None).tile, settings(model, None, None).overlap) == (256, 16)
    assert settings(model, 48, None).overlap == 12
    assert settings(model, 48, 8).overlap == 8
