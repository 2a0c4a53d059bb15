"""Opening weight files without trusting them."""

import contextlib
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mambair_cli.errors import ModelError
from mambair_cli.weights import bystanders, digest, files

TENSORS = {"a.weight": torch.arange(4.0), "b": torch.ones(2, 3)}


class RunsCode:
    """A pickle that would create a file when loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def equal(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(torch.equal(found[key], TENSORS[key]) for key in TENSORS)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: {"params": t},
        lambda t: {"params_ema": t, "params": {"a.weight": torch.zeros(1)}},
        lambda t: {"state_dict": t, "epoch": 3},
        lambda t: {"params": {f"module.{key}": value for key, value in t.items()}},
    ],
)
def test_the_layouts_of_checkpoints(wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save(wrap(TENSORS), path)
    assert any(map(equal, files.read(path)[0]))
    torch.save(wrap(TENSORS), path, _use_new_zipfile_serialization=False)
    assert any(map(equal, files.read(path)[0]))


def test_safetensors_with_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(TENSORS, path, {"task": "denoise"})
    found, metadata = files.read(path)
    assert equal(found[0])
    assert metadata == {"task": "denoise"}


@pytest.mark.parametrize(("name", "suffix"), [("safetensors", ".pth"), ("torch", ".safetensors"), ("legacy", ".bin")])
def test_the_content_says_what_kind_of_file_it_is(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    if name == "safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=name == "torch")
    assert equal(files.read(path)[0][0])


def test_a_changed_number_is_noticed_in_files_that_we_and_torch_write(tmp_path: Path) -> None:
    paths = [tmp_path / "a.pth", tmp_path / "a.safetensors"]
    torch.save(TENSORS, paths[0])
    save_file(TENSORS, paths[1], {digest.KEY: digest.digest(TENSORS)})
    for path in paths:
        assert equal(files.read(path)[0][0])
        content = path.read_bytes()
        number = np.float32(3).tobytes()
        assert content.count(number) == 1
        path.write_bytes(content.replace(number, np.float32(5).tobytes()))
        with pytest.raises(ModelError, match=r"checksum|was changed"):
            files.read(path)


def test_small_files_that_make_large_tensors_are_refused(tmp_path: Path) -> None:
    path, little = tmp_path / "a.pth", torch.zeros(1000)
    torch.save({"a": torch.zeros(1).expand(1 << 28)}, path)
    with pytest.raises(ModelError, match="made from less by repetition"):
        files.read(path)
    torch.save({f"a{k}": little[: 1000 - k] for k in range(9)}, path)
    with pytest.raises(ModelError, match="many times over"):
        files.read(path)
    torch.save({"a": little, "tied.a": little}, path)
    assert len(files.read(path)[0][0]) == 2


def test_a_folder_names_the_weights_in_it(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "net_g_latest.pth")
    with pytest.raises(ModelError, match="is a folder") as caught:
        files.read(tmp_path)
    assert "net_g_latest.pth" in caught.value.hint


def test_a_pointer_of_git_lfs_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n")
    with pytest.raises(ModelError, match="git did not fetch"):
        files.read(path)


def test_a_pickle_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"params": RunsCode(mark)}, protocol=2))
    with pytest.raises(ModelError, match="not"):
        files.read(tmp_path / "plain.pth")
    torch.save({"params": RunsCode(mark)}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match=r"could run any code; it was not loaded"):
        files.read(tmp_path / "evil.pth")
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.95, 0.999])
def test_a_truncated_file_is_said_to_be_one(suffix: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    big = {"w": torch.randn(50_000)}
    if suffix == ".pth":
        torch.save(big, path)
    else:
        save_file(big, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(ModelError, match=r"damaged or truncated|not a file of weights"):
        files.read(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>Google Drive - Quota exceeded</body></html>", "is a web page"),
        (b"\n  <html><head><title>Sign in</title>", "is a web page"),
        (os.urandom(4096), "damaged|not a file of weights"),
        (b"some words", "damaged|not a file of weights"),
    ],
    ids=["empty", "quota page", "login page", "noise", "text"],
)
def test_what_is_no_model_is_refused(suffix: str, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        files.read(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_flipped_byte_is_damage_or_harmless(legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"params": {f"w{k}": torch.ones(3) for k in range(4)}}, path, _use_new_zipfile_serialization=not legacy)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(data), 200):
        flipped = bytearray(data)
        flipped[position] ^= int(rng.integers(1, 256))
        path.write_bytes(flipped)
        with contextlib.suppress(ModelError):
            files.read(path)


@pytest.mark.parametrize("value", [torch.zeros(2, dtype=torch.complex64), torch.eye(3).to_sparse()])
def test_tensors_that_are_no_plain_numbers_are_refused(value: torch.Tensor, tmp_path: Path) -> None:
    torch.save({"params": {"a": value}}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="no plain tensor"):
        files.read(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [{"params": {"a": 3}}, [1, 2], {"epoch": 3}, {}, torch.zeros(2), {"params": {}}])
def test_a_checkpoint_without_a_set_of_tensors_is_refused(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="holds"):
        files.read(tmp_path / "a.pth")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        files.read(tmp_path / "none.pth")
    with pytest.raises(ModelError, match="is a folder"):
        files.read(tmp_path)


def test_sizes_are_capped_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pth"
    torch.save(TENSORS, path)
    monkeypatch.setattr(files, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(ModelError, match="more than any known model"):
        files.read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 20))
    monkeypatch.setattr(files, "MAX_BYTES", 1 << 19)
    with pytest.raises(ModelError, match="unpacks to more"):
        files.read(path)


def packed(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_archives_that_unpack_to_much_are_not_unpacked(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1 << 20)}, tmp_path / "plain.pth")
    with zipfile.ZipFile(tmp_path / "plain.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    packed(tmp_path / "a.pth", members)
    with pytest.raises(ModelError, match="unpacks to more than any model of its size"):
        files.read(tmp_path / "a.pth")


def test_archives_of_other_kinds_say_what_they_are(tmp_path: Path) -> None:
    packed(tmp_path / "a.pth", {"x/net.pth": b"weights"})
    with pytest.raises(ModelError, match="is an archive, but no checkpoint") as caught:
        files.read(tmp_path / "a.pth")
    assert caught.value.hint == "Unpack it, and give x/net.pth."
    torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(2)).save(tmp_path / "b.pt")
    with pytest.raises(ModelError, match="is a TorchScript program"):
        files.read(tmp_path / "b.pt")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"\x1f\x8b\x08\0", "packed with gzip"),
        (b"\x08\x07\x12\x07pytorch", "an ONNX file"),
        (bytes(257) + b"ustar", "a tar archive"),
    ],
)
def test_files_of_other_kinds_say_what_they_are(head: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(head + bytes(600))
    with pytest.raises(ModelError, match=kind):
        files.read(tmp_path / "a.pth")


def test_tensors_without_numbers(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3, device="meta")}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="holds a as no plain tensor"):
        files.read(tmp_path / "a.pth")


def test_objects_beside_the_tensors_are_not_made(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(3), "where": Path("/x")}, tmp_path / "a.pth")
    with (tmp_path / "a.pth").open("rb") as file:
        stand_ins = bystanders.bystanders(file)
        assert file.tell() == 0
    assert stand_ins
    assert all(stand_in is bystanders.Bystander for stand_in, _ in stand_ins)  # type: ignore[misc]
    assert files.read(tmp_path / "a.pth")[0][0].keys() == {"a"}


def test_a_whole_network_is_named(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"torch\.nn\.modules\.linear\.Linear") as caught:
        files.read(tmp_path / "a.pth")
    assert "state_dict" in caught.value.hint
