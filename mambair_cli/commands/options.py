"""The options of the commands that restore pictures, in groups."""

import inspect
from enum import StrEnum
from typing import Annotated, Any

import typer

from ..images import formats
from ..images.formats import MAX_PIXELS
from ..tasks import STRONGEST, Task

MODEL, SIZE, QUALITY, OUTPUT, MANY = "Model and device", "Size", "Quality", "Files", "Many files"
CLIPS = "Clips"


class Precision(StrEnum):
    """In which numbers a network computes."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="IN...", help="Images, folders, quoted patterns such as '*.jpg', clips, or - for standard input."
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|FILE",
        help="A name (see mambair models list), a .safetensors, .pth or .onnx file; fast or best of those installed.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:1, ... Several share the pictures: cuda:0,cuda:1.",
        rich_help_panel=MODEL,
    ),
]
Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="What runs an .onnx file: cpu, cuda, openvino, dml, coreml, ... Default: cpu.",
        rich_help_panel=MODEL,
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        "--tile",
        metavar="PIXELS",
        help="Tile edge: smaller takes less memory, 0 is the whole image. Default: the model's.",
        rich_help_panel=MODEL,
    ),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        "--overlap",
        metavar="PIXELS",
        help="Overlap of tiles. Default: 32, or a quarter of a small tile.",
        rich_help_panel=MODEL,
    ),
]
Whole = Annotated[bool, typer.Option("--whole", help="No tiles: as --tile 0.", rich_help_panel=MODEL)]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        case_sensitive=False,
        metavar="fp32|bf16|fp16",
        help="fp32 is exact; bf16 and fp16 are faster on GPUs.",
        rich_help_panel=MODEL,
    ),
]

Scale = Annotated[
    float | None,
    typer.Option(
        "--scale",
        min=1,
        metavar="FACTOR",
        help="Enlargement, such as 4 or 2.5. Default: the model's.",
        rich_help_panel=SIZE,
    ),
]
Width = Annotated[
    int | None,
    typer.Option("--width", min=1, metavar="PIXELS", help="Width of the result.", rich_help_panel=SIZE),
]
Height = Annotated[
    int | None,
    typer.Option("--height", min=1, metavar="PIXELS", help="Height of the result.", rich_help_panel=SIZE),
]

Ensemble = Annotated[
    bool,
    typer.Option(
        "--ensemble",
        help="Average over 8 turned and mirrored copies: a little better, 8 times slower.",
        rich_help_panel=QUALITY,
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        "--strength",
        min=0,
        max=STRONGEST,
        help="How much of the change is applied: 0 nothing (plain interpolation), 0.5 half, 1 all; for haze, to 2.",
        rich_help_panel=QUALITY,
    ),
]
Sigma = Annotated[
    float | None,
    typer.Option(
        "--sigma",
        min=0,
        max=255,
        metavar="LEVELS",
        help="How strong the noise is (of 255): try 5, 10 or 15 where grain stays. Takes twice the time.",
        rich_help_panel=QUALITY,
    ),
]
Wrap = Annotated[
    bool,
    typer.Option(
        "--wrap",
        help="The picture goes on at its opposite edges, as a texture does: no seam.",
        rich_help_panel=QUALITY,
    ),
]
WrapX = Annotated[
    bool,
    typer.Option(
        "--wrap-x",
        help="The same for left and right alone, as in a panorama all around.",
        rich_help_panel=QUALITY,
    ),
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare",
        help="Also write OUT_compare.png: input and result side by side, one part enlarged.",
        rich_help_panel=QUALITY,
    ),
]

Output = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE|FOLDER",
        help="Where to write, - for standard output. Default: beside the input.",
        rich_help_panel=OUTPUT,
    ),
]
Suffix = Annotated[
    str | None,
    typer.Option(
        "--suffix", metavar="TEXT", help="Appended to the name. Default: _x4, _denoised, ...", rich_help_panel=OUTPUT
    ),
]
FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="|".join(row.name for row in formats.writable()),
        help="Format of results. Default: that of the -o file, else png.",
        rich_help_panel=OUTPUT,
    ),
]
JpegQuality = Annotated[
    int | None,
    typer.Option(
        "--quality", min=1, max=100, metavar="1-100", help="Quality of lossy formats.", rich_help_panel=OUTPUT
    ),
]
Strip = Annotated[
    bool, typer.Option("--strip", help="Drop EXIF, XMP and profiles that change no colours.", rich_help_panel=OUTPUT)
]
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Refuse damaged inputs that could be mended.", rich_help_panel=OUTPUT),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        min=1,
        metavar="N",
        help="Refuse inputs with more pixels, which may be decompression bombs.",
        rich_help_panel=OUTPUT,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.", rich_help_panel=OUTPUT)]

Crf = Annotated[
    int | None,
    typer.Option(
        "--crf",
        min=0,
        max=51,
        metavar="0-51",
        help="Of H.264: 0 is without loss, higher makes smaller files. Default: 17.",
        rich_help_panel=CLIPS,
    ),
]
Steady = Annotated[
    bool,
    typer.Option(
        "--steady",
        help="Less flicker: blend each frame with those before and after it. Takes a little detail.",
        rich_help_panel=CLIPS,
    ),
]

Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Skip what is finished and unchanged, go on with a clip. Several processes may share a folder.",
        rich_help_panel=MANY,
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="auto|local|ADDRESS",
        help="Share the pictures among the nodes of a Ray cluster: the running one, one started here, or HOST:PORT.",
        rich_help_panel=MANY,
    ),
]
Recursive = Annotated[
    bool,
    typer.Option("--recursive/--no-recursive", help="Search folders inside folders, too.", rich_help_panel=MANY),
]

REQUIRED = inspect.Parameter.empty
OPTIONS: dict[str, tuple[Any, Any]] = {
    "inputs": (Inputs, REQUIRED),
    "output": (Output, None),
    "suffix": (Suffix, None),
    "format": (FormatOption, None),
    "quality": (JpegQuality, None),
    "strip": (Strip, False),
    "strict": (Strict, False),
    "overwrite": (Overwrite, False),
    "max_pixels": (MaxPixels, MAX_PIXELS),
    "model": (ModelName, None),
    "device": (Device, "auto"),
    "provider": (Provider, None),
    "precision": (PrecisionOption, Precision.fp32),
    "tile": (Tile, None),
    "overlap": (Overlap, None),
    "whole": (Whole, False),
    "scale": (Scale, None),
    "width": (Width, None),
    "height": (Height, None),
    "strength": (Strength, 1.0),
    "sigma": (Sigma, None),
    "wrap": (Wrap, False),
    "wrap_x": (WrapX, False),
    "ensemble": (Ensemble, False),
    "compare": (Compare, False),
    "crf": (Crf, None),
    "steady": (Steady, False),
    "resume": (Resume, False),
    "cluster": (Cluster, None),
    "recursive": (Recursive, True),
}
"""Name, what typer shows, and default, in the order of the help."""

ENLARGING = {"scale", "width", "height"}
DENOISING = {"sigma"}


def foreign(task: Task) -> set[str]:
    """Options that say nothing to a task."""
    return (set() if task.enlarges else ENLARGING) | (set() if task.name == "denoise" else DENOISING)


def signature(without: set[str]) -> inspect.Signature:
    """Of a command with all options but some."""
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            inspect.Parameter(name, kind, default=default, annotation=annotation)
            for name, (annotation, default) in OPTIONS.items()
            if name not in without
        ]
    )
