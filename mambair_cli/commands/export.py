"""``mambair export``: models for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from ..console import Console
from .common import command


def _export(
    console: Console,
    source: Annotated[str, typer.Argument(metavar="MODEL", help="A model by name, or a file of weights.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="Where to write it.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a model as ONNX, for any height and width, in standard operators only.

    onnxruntime runs it at three sizes first, and nothing is written unless it gives what mambair gives.

    Example: mambair export mambair-nano-x4 nano.onnx
    """
    from ..export import onnx

    written = onnx.export(source, target, overwrite=overwrite)
    record = {
        "output": str(target),
        "bytes": written.bytes,
        "differences": {f"{h}x{w}": value for (h, w), value in zip(onnx.SIZES, written.differences, strict=True)},
    }
    console.note(
        f"Largest difference from mambair at three sizes that were not traced: {max(written.differences):.1g}."
    )
    console.data(str(target), record)


export = command(_export, extensible=True)
