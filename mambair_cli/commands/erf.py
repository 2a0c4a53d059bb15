"""``mambair models erf``: how far a model sees."""

from pathlib import Path
from typing import Annotated

import typer

from ..console import Console
from .common import check_backend


def erf(
    console: Console,
    model: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A model.")],
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PICTURE]...", help="Pictures, of which the centre is taken. Default: noise.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT.png", help="Draw it there, on a logarithmic scale.")
    ] = None,
    size: Annotated[int, typer.Option("--size", min=8, metavar="PIXELS", help="Edge of what the model is shown.")] = 96,
    count: Annotated[int, typer.Option("--count", min=1, metavar="N", help="Noises, where no picture is given.")] = 4,
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a drawing that exists.")] = False,
) -> None:
    """Measure the effective receptive field: which pixels decide the central one of the result, and how much.

    Reported are the smallest central squares that hold a share of all contributions, as RepLKNet does.

    Example: mambair models erf mambair-nano-x4 -o erf.png
    """
    from rich.table import Table

    from mambair_archs.receptive_field import squares

    from ..weights import erf as measuring
    from ..weights.loader import load

    measuring.check(output, overwrite)
    loaded = load(model, device)
    check_backend(loaded.device)
    with console.progress("erf") as progress:
        contribution = measuring.measure(loaded, pictures or [], size, count, progress)
    rows = [{"share": each.share, "side": each.side, "area": each.area} for each in squares(contribution)]
    if output is not None:
        measuring.save(contribution, output, overwrite)
    table = Table("Contribution", "Side in pixels", "Share of the area", box=None, pad_edge=False)
    for row in rows:
        table.add_row(f"{row['share']:.0%}", f"{row['side']}", f"{row['area']:.2%}")
    shown, kind = (len(pictures), "picture") if pictures else (count, "noise")
    record = {"model": loaded.name, "size": size, "pictures": [str(path) for path in pictures or []], "squares": rows}
    console.table(table, record | {"noises": 0 if pictures else count, "output": str(output) if output else None})
    console.note(f"Mean over {shown} {kind}{'s' * (shown > 1)} of {size} x {size} pixels.")
