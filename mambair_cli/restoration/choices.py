"""What a user may choose about a run, beside the model and the names of files."""

from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..images.formats import MAX_PIXELS
from ..tasks import STRONGEST
from . import sizes
from .sizes import Shape

WRAPS = ("none", "x", "y", "xy")
"""Axes along which a picture can repeat itself."""


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
        strength: share of the result in a blend with the input, 0 to 1; above 1, to :data:`STRONGEST`, more haze is
            taken away, and light haze too.
        sigma: standard deviation of the noise to be taken away, of 255; None: what a denoiser sees by itself.
        wrap: axes along which the picture goes on at the opposite edge: ``none``, ``x``, ``y`` or ``xy``.
        compare: write a picture of input and result side by side, too.
        strip: drop all metadata.
        strict: refuse inputs that a decoder has to mend.
        crf: of H.264 in clips, 0 to 51; None: :data:`mambair_cli.video.encoding.CRF`.
        steady: blend each frame of a clip with its neighbours, which lowers flicker.
        quality: of lossy formats, 1 to 100; None: the format's default.
        max_pixels: pictures with more are refused as decompression bombs; None: any size.
        overwrite: replace outputs, whoever made them.
        resume: skip what is finished and unchanged; share the folder with other processes.
        examine: estimate how noisy and compressed the pictures are.

    Raises:
        UsageError: the strength, the noise or the wrap is none.
    """

    tile: int | None = None
    overlap: int | None = None
    ensemble: bool = False
    precision: str = "fp32"
    scale: float | None = None
    width: int | None = None
    height: int | None = None
    strength: float = 1.0
    sigma: float | None = None
    wrap: str = "none"
    compare: bool = False
    strip: bool = False
    strict: bool = False
    quality: int | None = None
    crf: int | None = None
    steady: bool = False
    max_pixels: int | None = MAX_PIXELS
    overwrite: bool = False
    resume: bool = False
    examine: bool = False

    def __post_init__(self) -> None:
        if self.wrap not in WRAPS:
            raise UsageError(f"A picture cannot be wrapped along {self.wrap}.", f"Use {', '.join(WRAPS)}.")
        if not 0 <= self.strength <= STRONGEST:
            raise UsageError(
                f"A strength of {self.strength:g} is not between 0 and {STRONGEST:g}.", "Give a number from 0 to 1."
            )
        if self.sigma is not None and not 0 < self.sigma <= 255:
            raise UsageError(f"Noise of sigma {self.sigma:g} is not between 0 and 255.", "Give 5, 10 or 15, say.")

    def size(self, shape: Shape, own: int) -> Shape:
        """Height and width of the result of a network with scale ``own``; see :func:`sizes.target`.

        Raises:
            UsageError: the choices contradict each other or the network.
        """
        return sizes.target(shape, own, self.scale, self.width, self.height)

    def reading(self) -> dict[str, Any]:
        """The arguments of :func:`mambair_cli.images.decode.decode`."""
        return {name: getattr(self, name) for name in ("max_pixels", "strip", "strict")}

    def deciding(self) -> dict[str, Any]:
        """All that the bytes of a result depend on."""
        network = ("tile", "overlap", "ensemble", "precision", "scale", "width", "height", "strength", "sigma", "wrap")
        return {name: getattr(self, name) for name in (*network, "compare", "strip", "quality", "crf", "steady")}
