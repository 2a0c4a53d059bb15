"""How noisy and how compressed a picture is, from the picture alone."""

import functools
import io
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from ..images.container import quiet_pillow
from .noise import measure
from .sources import Source

POOR_NOISE, POOR_GRAIN, POOR_QUALITY = 20.0, 3.0, 70
"""From this noise or grain on and down from this quality, enlarging shows the harm more than the picture."""

KEPT = {"4:2:2": 2 / 3, "4:2:0": 0.5}
"""Share of grain that shows in files whose colours are smaller than their brightness (JPEG of quality 97)."""

SAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


@dataclass(frozen=True)
class Estimate:
    """What is known of how a picture was harmed.

    Attributes:
        noise: standard deviation of noise, in 255ths of white; None where the picture has too few usable pixels.
        grain: likewise of the coloured grain that cameras leave, as it was before its colours were stored in a JPEG
            file; None for gray pictures, too.
        quality: of a JPEG file, 1 to 100 as libjpeg counts it; None for other files.
        sampling: of the colours of a JPEG file, such as ``4:2:0``; None for gray and other files.
    """

    noise: float | None
    grain: float | None = None
    quality: int | None = None
    sampling: str | None = None

    def __str__(self) -> str:
        parts = [] if self.noise is None else [f"noise of about sigma {self.noise:.1f} (white is 255)"]
        if self.grain is not None:
            parts.append(f"grain of a camera of about sigma {self.grain:.1f}")
        if self.quality is not None:
            parts.append(f"JPEG quality of about {self.quality}{f', {self.sampling}' if self.sampling else ''}")
        return ", ".join(parts) or "too small to tell"

    @property
    def poor(self) -> str | None:
        """What is wrong with a picture that is not to be enlarged as it is; None if nothing is."""
        if self.noise is not None and self.noise >= POOR_NOISE:
            return f"noise of about sigma {self.noise:.1f}"
        if self.grain is not None and self.grain >= POOR_GRAIN:
            return f"grain of a camera of about sigma {self.grain:.1f}"
        if self.quality is not None and self.quality <= POOR_QUALITY:
            return f"JPEG quality of about {self.quality}"
        return None

    def record(self) -> dict[str, float | int | str | None]:
        """As a JSON object."""
        return asdict(self)


def estimate(source: Source, file: Path | bytes) -> Estimate:
    """Examine a picture, and the file (or its content) that it came from; ``source`` begins anew afterwards.

    What cannot be found out is None, whatever stops it: to be told about a picture must not decide over its fate.
    """
    found = Estimate(None)
    with suppress(Exception):
        found = Estimate(*measure(source))
    source.restart()
    with suppress(Exception):
        quality, sampling = compression(file)
        grain = found.grain and round(found.grain / KEPT.get(sampling or "", 1), 2)
        found = replace(found, grain=grain, quality=quality, sampling=sampling)
    return found


def compression(source: Path | bytes) -> tuple[int | None, str | None]:
    """Quality and sampling of a JPEG file, or None.

    The quality is that at which libjpeg's quantisation tables are nearest to the file's.
    """
    if isinstance(source, Path) and not source.is_file():  # what a named pipe held is gone
        return None, None
    with quiet_pillow(), Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        if not isinstance(image, JpegImagePlugin.JpegImageFile):
            return None, None
        table, layers = np.array(image.quantization[min(image.quantization)]), image.layers
        sampling = SAMPLING.get(JpegImagePlugin.get_sampling(image)) if layers == 3 else None
    return 1 + int(np.abs(_tables() - table).sum(1).argmin()), sampling


@functools.cache
def _tables() -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Tables for luma at qualities 1 to 100, asked of libjpeg."""
    tables = []
    for quality in range(1, 101):
        file = io.BytesIO()
        Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
        with Image.open(file) as image:
            assert isinstance(image, JpegImagePlugin.JpegImageFile)
            tables.append(image.quantization[0])
    return np.array(tables)
