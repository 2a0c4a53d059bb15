"""What inference has to know about a network, stated by the network's own module."""

from dataclasses import dataclass

import torch

WIDE_RANGE = frozenset({torch.float32, torch.bfloat16})
"""Types that no activation overflows."""

ANY_FLOAT = WIDE_RANGE | {torch.float16}
"""Types tried with trained weights: under autocast, bf16 came within 55 dB of float32 and fp16 within 68 dB."""

RESTORATION_TASKS = frozenset({"denoise", "dejpeg", "dehaze"})


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """Facts about one configured network.

    Attributes:
        scale: output size over input size.
        in_channels: 1 (luminance) or 3 (RGB).
        size_multiple: grid in pixels on which tiles should start so that windows keep their phase; the network itself
            takes any size.
        minimum_size: smallest height and width accepted.
        tile: recommended tile edge in input pixels.
        bytes_per_pixel: upper estimate of the working memory per input pixel, float32, without gradients.
        dtypes: activation types of autocast in which the output stays usable.
        global_view: 0, or the longer edge in pixels of the reduced copy of the whole picture that the network has to
            see before any tile.
    """

    scale: int
    in_channels: int
    size_multiple: int
    tile: int
    bytes_per_pixel: int
    minimum_size: int = 1
    dtypes: frozenset[torch.dtype] = WIDE_RANGE
    global_view: int = 0

    @property
    def tasks(self) -> frozenset[str]:
        """Tasks that weights of this shape can have been trained for."""
        if self.global_view:
            return frozenset({"dehaze"})
        return frozenset({"upscale"}) if self.scale > 1 else RESTORATION_TASKS
