"""``mambair doctor``: what works on this machine, and why the rest does not."""

from typing import Any

from ..console import Console
from ..errors import MambairError
from .common import command

BASICSR = "pip install --no-build-isolation --no-deps basicsr==1.4.2"
PACKAGES = {
    "torch": "",
    "numpy": "",
    "opencv-python-headless": "",
    "pillow": "",
    "safetensors": "",
    "gdown": "",
    "basicsr": f"needed for training only: {BASICSR}",
    "mamba-ssm": "never needed; used on CUDA if it is there",
    "causal-conv1d": "never needed; comes with mamba-ssm",
}


def _doctor(console: Console) -> None:
    """Report versions, devices, memory and scan backends, and test the scan."""
    import os
    import platform

    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from mambair_kernels import dispatch

    from .. import __version__

    record: dict[str, Any] = {
        "mambair": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _packages(),
        "devices": _devices(),
        "backends": _backends(),
        "folder": _folder(),
    }
    facts = Table(show_header=False, box=None, pad_edge=False)
    for key in ("mambair", "python", "platform", "folder"):
        facts.add_row(key, Text(record[key]))  # as it stands, not as markup
    for name, version in record["packages"].items():
        facts.add_row(name, version or f"not installed; {PACKAGES[name]}")
    for device, state in record["devices"].items():
        facts.add_row(device, Text(state))
    backends = Table("Scan backend", "Device", "Used", "Error", "Reason", box=None, pad_edge=False)
    for row in record["backends"]:
        error = "" if row["error"] is None else f"{row['error']:.1e}"
        backends.add_row(row["name"], row["device"], "yes" if row["chosen"] else "no", error, Text(row["reason"]))
    console.table(Group(facts, "", backends), record)
    if not any(row["chosen"] for row in record["backends"]):
        raise MambairError(
            f"{dispatch.VARIABLE}={os.environ.get(dispatch.VARIABLE)} names no scan backend that works here.",
            "Unset it, or choose one from the table.",
        )
    if any(row["error"] is not None and not row["error"] < 1e-4 for row in record["backends"]):
        raise MambairError("A scan backend computes wrong results on this machine.", "Please report this output.")


def _packages() -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version

    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _devices() -> dict[str, str]:
    import torch

    from ..restoration.memory import available

    cpu = torch.device("cpu")
    found = {"cpu": f"{torch.get_num_threads()} threads, {available(cpu) >> 20} MiB free"}
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        found[str(device)] = f"{torch.cuda.get_device_name(device)}, {available(device) >> 20} MiB free"
    if len(found) == 1:
        found["cuda"] = "not available to this torch" if torch.version.cuda else "this torch is built without CUDA"
    return found


def _backends() -> list[dict[str, Any]]:
    """Verdict of the dispatcher per device, with the largest deviation of usable backends from the float64 oracle."""
    import torch

    from mambair_kernels import dispatch, selftest

    rows = []
    devices = ["cpu"] + [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    for device in map(torch.device, devices):
        for verdict in dispatch.verdicts(device):
            error = selftest.deviation(verdict.name, device) if verdict.usable else None
            rows.append(
                {
                    "name": verdict.name,
                    "device": str(device),
                    "chosen": verdict.chosen,
                    "error": error,
                    "reason": verdict.reason,
                }
            )
    return rows


def _folder() -> str:
    import os

    from ..files.places import data_root

    root = data_root()
    place = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    return f"{root} ({'writable' if os.access(place, os.W_OK) else 'not writable'})"


doctor = command(_doctor)
