"""``mambair export``: models for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ..console import Console
from .common import command


def _export(
    console: Console,
    source: Annotated[str, typer.Argument(metavar="MODEL", help="A model by name, or a file of weights.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="Where to write it.")],
    fp16: Annotated[
        bool, typer.Option("--fp16", help="Weights and activations of 16 bits: half the size, for cards.")
    ] = False,
    quantize: Annotated[
        Literal["int8"] | None,
        typer.Option(
            "--quantize", help="int8: convolutions and matrices in 8 bits, for processors; says what it costs."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
) -> None:
    """Write a model as ONNX, for any height and width, in standard operators only.

    onnxruntime runs it at three sizes first, and nothing is written unless it gives what mambair gives.

    Example: mambair export mambair-nano-x4 nano.onnx
    """
    from ..export import onnx

    written = onnx.export(source, target, half=fp16, int8=quantize == "int8", overwrite=overwrite)
    names, distance = [str(path) for path in written.paths], written.distance
    record = {
        "output": names,
        "bytes": written.bytes,
        "psnr": distance.psnr,
        "differences": {f"{height}x{width}": value for (height, width), value in distance.differences.items()},
    }
    where = "On parts of a photo" if quantize else "At three sizes that were not traced"
    largest = max(distance.differences.values())
    console.note(f"{where} it differs from mambair by {largest:.1g} at most ({distance.psnr:.0f} dB).")
    console.data("\n".join(names), record)


export = command(_export, extensible=True)
