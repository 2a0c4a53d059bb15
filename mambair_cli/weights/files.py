"""Open weight files without trusting them: safetensors, and pickles restricted to tensors."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from ..errors import ModelError
from ..files import sniff
from . import containers
from .bystanders import bystanders
from .containers import Keys, Tensors
from .digest import KEY, digest

MAX_BYTES = 4 << 30
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
ZIP, PICKLE = b"PK", b"\x80"
SHARED = 4
"""Tensors may share memory, as layers that are listed twice do, but not without limit."""

NETWORK = "network"
"""Key under which a trainer says in words what network the tensors are of."""

PACKED = 16
"""An archive unpacks to at most so many times its size; torch packs nothing, and numbers hardly shrink."""

KINDS = {
    b"GGUF": "a GGUF file",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "packed with gzip",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x93NUMPY": "an array of NumPy",
    b"\x08\x07\x12": "an ONNX file",
    b"\x08\x08\x12": "an ONNX file",
}
"""Files that are taken for weights, by their first bytes."""

AGAIN = "Download it again."


def read(path: Path) -> tuple[list[Tensors], dict[str, str]]:
    """Sets of tensors that a file of safetensors or of torch holds, and its metadata; see :func:`read_placed`."""
    found, metadata = read_placed(path)
    return [tensors for _, tensors in found], metadata


def read_placed(path: Path) -> tuple[list[tuple[Keys, Tensors]], dict[str, str]]:
    """Sets of tensors that a file of safetensors or of torch holds, each with where it is, and the file's metadata.

    What kind of file it is, its content says, not its name. A checkpoint can hold several sets, and one set below a
    prefix; see :mod:`.containers` for their order.

    Raises:
        ModelError: the file is missing, too large, damaged, a web page, unsafe or without tensors.
    """
    head = _checked(path)
    metadata: dict[str, str] = {}
    if head[8:].lstrip().startswith(b"{") and not head.startswith(ZIP):
        content, metadata = _safetensors(path)
    elif path.suffix.lower() == ".safetensors" and not head.startswith((ZIP, PICKLE)):
        raise ModelError(f"The model file {path} is damaged or no file of safetensors.", AGAIN)
    else:
        content = _pickle(path)
        if isinstance(content, Mapping) and isinstance(said := content.get(NETWORK), str):
            metadata[NETWORK] = said
    found = containers.candidates(content)
    if not found:
        inside = ", ".join(map(str, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
        raise ModelError(
            f"The model file {path} holds no set of tensors, but {inside or 'nothing'}.", "Give a file of weights."
        )
    _check_tensors(path, [tensors for _, tensors in found])
    return found, metadata


def _checked(path: Path) -> bytes:
    """The first bytes of a file that can be one of weights."""
    if path.is_dir():
        inside = sorted(each.name for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
        hint = f"Give a file in it: {', '.join(inside[:3])}." if inside else "Give a file of weights."
        raise ModelError(f"The model {path} is a folder.", hint)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise ModelError(
            f"The model file {path} does not exist.", "Check the name, or see mambair models list."
        ) from None
    except OSError as error:
        raise ModelError(
            f"The model file {path} cannot be read: {error.strerror}.", "Give a file you may read."
        ) from None
    if size == 0:
        raise ModelError(f"The model file {path} is empty.", AGAIN)
    if size > MAX_BYTES:
        raise ModelError(f"The model file {path} has {size >> 20} MiB, more than any known model.", "Check the file.")
    if sniff.is_page(head):
        raise ModelError(
            f"{path} is a web page, not a model; the download was probably refused.",
            "Open its address in a browser, or try again later: such servers limit downloads per day.",
        )
    if sniff.is_pointer(head):
        raise ModelError(
            f"{path} stands for a model that git did not fetch.", "Run git lfs pull, or download the file itself."
        )
    kind = next((kind for start, kind in KINDS.items() if head.startswith(start)), None)
    if head[257:262] == b"ustar":
        kind = "a tar archive"
    if kind:
        raise ModelError(f"{path} is {kind}, no file of weights.", "Unpack archives; give a .safetensors or .pth file.")
    return head


def _safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"The model file {path} is damaged or truncated ({error}).", AGAIN) from error
    recorded = metadata.pop(KEY, None)
    if recorded is not None and recorded != digest(tensors):
        raise ModelError(f"The tensors in {path} are not those that its checksum was made of.", AGAIN)
    return tensors, metadata


def _pickle(path: Path) -> Any:
    try:
        _check_archive(path)
        with (
            path.open("rb") as file,  # of a path, torch heeds the suffix
            warnings.catch_warnings(action="ignore"),
            torch.serialization.safe_globals(bystanders(file)),
        ):
            return torch.load(file, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except pickle.UnpicklingError as error:
        if named := re.search(r"GLOBAL (\S+)", str(error)):
            raise ModelError(
                f"The model file {path} holds Python objects ({named[1]}),"
                " which could run any code; it was not loaded.",
                "Use a file that holds only tensors; the program that made it can write one:"
                " torch.save(network.state_dict(), FILE).",
            ) from None
        raise ModelError(f"The model file {path} is not a file of weights; it was not loaded.", AGAIN) from None
    except Exception as error:  # damage shows in any of a dozen ways, each of them a reason not to use the file
        raise ModelError(f"The model file {path} is damaged or truncated ({type(error).__name__}).", AGAIN) from error


def _check_archive(path: Path) -> None:
    """Refuse archives that unpack to too much, or whose members differ from their checksums, which torch ignores."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > min(MAX_BYTES, PACKED * path.stat().st_size):
            raise ModelError(f"The model file {path} unpacks to more than any model of its size.", "Do not use it.")
        _check_members(path, [member.filename for member in members])
        wrong = [member for member in members if not _whole(archive, member)]
    if wrong and len(wrong) < len(members):  # all of them: torch was told to save without checksums
        raise ModelError(f"The model file {path} is damaged: {wrong[0].filename} in it was changed.", AGAIN)


def _check_members(path: Path, names: list[str]) -> None:
    """Refuse archives of other programs."""
    if any(name.endswith("/constants.pkl") for name in names):
        raise ModelError(
            f"The model file {path} is a TorchScript program; it was not loaded.",
            f"If you trust it, save its weights: torch.save(torch.jit.load({path.name!r}).state_dict(), 'new.pth').",
        )
    if not any(name.endswith("data.pkl") for name in names):
        inside = [name for name in names if name.lower().endswith(SUFFIXES)]
        raise ModelError(
            f"{path} is an archive, but no checkpoint of torch.",
            f"Unpack it, and give {inside[0]}." if inside else "Give a .safetensors or .pth file.",
        )


def _whole(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(member) as content:
            while content.read(1 << 20):
                pass
    except zipfile.BadZipFile as error:
        if "CRC" not in str(error):
            raise
        return False
    return True


def _check_tensors(path: Path, found: list[Tensors]) -> None:
    """Refuse tensors that are not plain numbers, or that a small file makes large by views of the same memory."""
    shown, stored = 0, {}
    for key, value in {id(value): (key, value) for tensors in found for key, value in tensors.items()}.values():
        if value.is_meta or value.layout != torch.strided or value.is_complex() or value.is_quantized:
            raise ModelError(f"The model file {path} holds {key} as no plain tensor of numbers.", "Give plain weights.")
        storage = value.untyped_storage()
        stored[storage.data_ptr()] = storage.nbytes()
        shown += value.nbytes
        if value.nbytes > storage.nbytes():
            raise ModelError(
                f"The model file {path} holds {key} with {value.nbytes:,} bytes, made from less by repetition.",
                "Do not use it.",
            )
    if shown > SHARED * sum(stored.values()):
        raise ModelError(f"The model file {path} shows the same numbers many times over.", "Do not use it.")
