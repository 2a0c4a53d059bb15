"""What a user may choose about a run, beside the model and the names of files."""

from dataclasses import dataclass
from typing import Any

from ..images.formats import MAX_PIXELS


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Choices for every picture of a run.

    Attributes:
        tile: edge in input pixels, 0 for the whole picture; None: the model's.
        overlap: pixels that neighbouring tiles share; None: in proportion to the tile.
        ensemble: average over the 8 symmetries of the square.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        scale: enlargement of the result; None: the model's.
        width: of the result in pixels; None: in proportion.
        height: of the result in pixels; None: in proportion.
        strength: share of the result in a blend with the input, 0 to 1.
        wrap: axes along which the picture goes on at the opposite edge: ``none``, ``x``, ``y`` or ``xy``.
        compare: write a picture of input and result side by side, too.
        strip: drop all metadata.
        strict: refuse inputs that a decoder has to mend.
        quality: of lossy formats, 1 to 100; None: the format's default.
        max_pixels: pictures with more are refused as decompression bombs; None: any size.
        overwrite: replace outputs, whoever made them.
        resume: skip what is finished and unchanged; share the folder with other processes.
        examine: estimate how noisy and compressed the pictures are.
    """

    tile: int | None = None
    overlap: int | None = None
    ensemble: bool = False
    precision: str = "fp32"
    scale: float | None = None
    width: int | None = None
    height: int | None = None
    strength: float = 1.0
    wrap: str = "none"
    compare: bool = False
    strip: bool = False
    strict: bool = False
    quality: int | None = None
    max_pixels: int | None = MAX_PIXELS
    overwrite: bool = False
    resume: bool = False
    examine: bool = False

    def network(self) -> dict[str, Any]:
        """The arguments of :func:`mambair_cli.restoration.model.restore`."""
        names = ("tile", "overlap", "ensemble", "precision", "scale", "width", "height", "strength", "wrap")
        return {name: getattr(self, name) for name in names}

    def reading(self) -> dict[str, Any]:
        """The arguments of :func:`mambair_cli.images.decode.decode`."""
        return {name: getattr(self, name) for name in ("max_pixels", "strip", "strict")}

    def recipe(self) -> dict[str, Any]:
        """All that the bytes of a result depend on."""
        names = ("compare", "strip", "quality")
        return self.network() | {name: getattr(self, name) for name in names}
