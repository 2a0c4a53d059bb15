"""What numbers in a frame stand for: from Y'CbCr to R'G'B' and back with one matrix and one range."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..images.picture import Pixels

# Code points of ITU-T H.273 (tables 2 to 4), as libavutil numbers them.
RGB, BT709, UNSPECIFIED, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020 = 0, 1, 2, 4, 5, 6, 7, 9
PQ, HLG = 16, 18
LIMITED, FULL = 1, 2

MATRICES = {BT709: 1, FCC: 4, BT470BG: 5, SMPTE170M: 5, SMPTE240M: 7, BT2020: 9}
"""Matrices that libswscale knows, by code point with its own number."""

LARGE = 720
"""Rows from which on players take a clip that says nothing to be BT.709, and BT.601 below."""


@dataclass(frozen=True)
class Colours:
    """Of a clip, as code points of H.273.

    Attributes:
        matrix: of Y'CbCr; where the clip says nothing, the one that players take for its size.
        range: ``LIMITED`` or ``FULL``.
        primaries: ``UNSPECIFIED`` where the clip says nothing.
        transfer: likewise.
        depth: 8 or 10 bits per value.
        sampling: ``420``, ``422`` or ``444``.
    """

    matrix: int
    range: int
    primaries: int
    transfer: int
    depth: int = 8
    sampling: str = "420"

    @classmethod
    def of(cls, frame: Any) -> "Colours":
        """As a frame of PyAV says."""
        bits = max((part.bits for part in frame.format.components), default=8)
        matrix = frame.colorspace
        if frame.format.is_rgb or matrix == RGB:
            matrix = BT709
        elif matrix not in MATRICES:
            matrix = BT709 if frame.height >= LARGE else SMPTE170M
        full = frame.color_range == FULL or frame.format.is_rgb or frame.format.name.startswith("yuvj")
        return cls(
            matrix=matrix,
            range=FULL if full and not frame.format.is_rgb else LIMITED,
            primaries=frame.color_primaries,
            transfer=frame.color_trc,
            depth=8 if bits <= 8 else 10,
            sampling=_sampling(frame.format),
        )

    @property
    def hdr(self) -> str | None:
        """What makes the clip one of high dynamic range; None if nothing does.

        Ten bits with primaries of BT.2020 and no word on the transfer count: that is how such clips lose their tags.
        """
        if self.transfer in (PQ, HLG):
            return "PQ" if self.transfer == PQ else "HLG"
        return "10 bits, BT.2020" if self.primaries == BT2020 and self.depth > 8 else None

    @property
    def format(self) -> str:
        """As libavutil calls it."""
        return f"yuv{self.sampling}p" + ("10le" if self.depth == 10 else "")

    def to_pixels(self, frame: Any) -> Pixels:
        """R'G'B' (height, width, 3) of a frame; uint8, or uint16 for more than 8 bits."""
        matrix = MATRICES[self.matrix]
        packed = frame.reformat(
            format="rgb24" if self.depth == 8 else "rgb48le",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=self.range,
            dst_color_range=FULL,
            interpolation=_exact(),
        )
        pixels: Pixels = packed.to_ndarray()
        return pixels

    def to_frame(self, pixels: Pixels, format: str) -> Any:
        """A frame of PyAV in ``format``; an odd edge is repeated, because chroma of half the size takes even ones."""
        from .library import load

        even = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        packed = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
        frame = load().VideoFrame.from_ndarray(np.ascontiguousarray(even), format=packed)
        if self.range == FULL and self.depth == 8:  # straight to 8 bits, libswscale rounds chroma down
            frame = self._stored(frame, f"{format}10le")
            return self._stored(frame, format)
        return self._stored(frame, format)

    def _stored(self, frame: Any, format: str) -> Any:
        """As Y'CbCr in ``format``, from full range."""
        matrix = MATRICES[self.matrix]
        return frame.reformat(
            format=format,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL,
            dst_color_range=self.range,
            interpolation=_exact(),
        )


def _sampling(format: Any) -> str:
    """The nearest of those that encoders take."""
    if format.is_rgb:
        return "444"
    if len(format.components) < 3:
        return "420"
    across, down = 16 // format.chroma_width(16), 16 // format.chroma_height(16)
    return "444" if across == 1 else "422" if down == 1 and across == 2 else "420"


def _exact() -> int:
    """Flags of libswscale: its default repeats chroma and rounds with a pattern, which costs 6 dB there and back."""
    from av.video.reformatter import Interpolation as Flag

    return int(Flag.BICUBIC | Flag.ACCURATE_RND | Flag.FULL_CHR_H_INT | Flag.FULL_CHR_H_INP)
