"""MambaIRDehaze: haze is estimated on a small copy of the picture and taken away from the large one.

Haze follows I = J * t + A * (1 - t): light of the scene J that gets through, and airlight A. With k = 1 / t the picture
is J = k * I + A * (1 - k), the form of AOD-Net (k * x - k + 1, for which A is 1). A U-shaped network of state-space
blocks sees the whole picture at a bounded size and gives t and A; what they make of k and b = A * (1 - k) is refined
along the edges of the picture, and applied pixel by pixel. One more number, for the picture as a whole, says whether
there is any haze: it is the share of the change that is made, so that clear pictures stay as they are.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks.coefficients import enlarged, lines, luma
from .blocks.convolution import Conv2d, PixelUnshuffle, conv3x3
from .blocks.merging import CROSS, Scan, recalled, remember
from .blocks.padding import crop_axes, pad_to_multiple
from .blocks.residual import VSSBlock, run_blocks
from .config import InferenceError, StateDict, count, create, option, ratio, shape
from .descriptor import Descriptor
from .network import Network, Place, view_size

THINNEST = 0.05
"""The least share of light that is thought to get through; what is darker than that is noise."""

CLEAR, BRIGHT, HAZY = 2.0, 2.0, 2.0
"""Before training, 89 % of the light gets through, the airlight is 0.88, and 88 % of the change is made."""

INSISTING = 16.0
"""Of the logit of there being haze, at a strength of 2."""

RADIUS, FLAT = 2, 1e-3
"""Of the refinement: window in cells, and variance of luma without edges."""


@dataclass(frozen=True, kw_only=True)
class MambaIRDehazeConfig:
    """Options of :class:`MambaIRDehaze`; the levels lie at a half, a quarter, an eighth and a sixteenth."""

    dims: tuple[int, ...] = option((24, 48, 64, 96), "Channels of the four levels, from the finest.")
    num_blocks: tuple[int, ...] = option((2, 2, 2), "Blocks of each level but the finest, which has none.")
    num_decoder_blocks: tuple[int, ...] = option((1, 1), "Blocks on the way back, of the two middle levels.")
    d_state: int = option(4, "States per channel of the scan.")
    mlp_ratio: float = option(1.0, "Channels of the scan over those of the level.")
    scan: Scan = option(CROSS, "Paths of the scans, and how their results are merged.")
    use_checkpoint: bool = option(False, "Recompute activations in the backward pass: less memory, more time.")

    def __post_init__(self) -> None:
        if len(self.dims) != 4 or min(self.dims) < 8:
            raise ValueError(f"dims must be four numbers from 8, got {self.dims}")
        if len(self.num_blocks) != 3 or min(self.num_blocks) < 1:
            raise ValueError(f"num_blocks must be three positive numbers, got {self.num_blocks}")
        if len(self.num_decoder_blocks) != 2 or min(self.num_decoder_blocks) < 1:
            raise ValueError(f"num_decoder_blocks must be two positive numbers, got {self.num_decoder_blocks}")
        for dim in self.dims[1:]:
            self.scan.check(int(self.mlp_ratio * dim))


class MambaIRDehaze(Network):
    """Four levels; picture in, picture out, values in [0, 1].

    Keyword options: see :class:`MambaIRDehazeConfig`.
    """

    multiple = 16
    global_view = 512

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config = config = create(MambaIRDehazeConfig, options)
        half, *coarser = dims = config.dims
        numbers = itertools.count()

        def level(dim: int, depth: int) -> nn.ModuleList:
            inner = int(config.mlp_ratio * dim)
            return nn.ModuleList(
                VSSBlock(dim, config.d_state, inner, "light", 2, 8, scan=config.scan, number=next(numbers))
                for _ in range(depth)
            )

        self.unshuffle = PixelUnshuffle(2)
        self.stem = conv3x3(4 * 3 + 2, half)
        self.downs = nn.ModuleList(Conv2d(4 * dims[k] + 2, dims[k + 1], 1) for k in range(3))
        self.encoder = nn.ModuleList(level(dim, depth) for dim, depth in zip(coarser, config.num_blocks, strict=True))
        self.ups = nn.ModuleList(Conv2d(dims[k + 1], dims[k], 1) for k in range(3))
        depths = config.num_decoder_blocks
        self.decoder = nn.ModuleList(level(dim, depth) for dim, depth in zip(coarser[:2], depths, strict=True))
        self.refine = conv3x3(half, half)
        self.output = conv3x3(half, 4)
        nn.init.zeros_(self.output.weight)
        with torch.no_grad():
            assert self.output.bias is not None
            self.output.bias.copy_(torch.tensor([CLEAR, BRIGHT, BRIGHT, BRIGHT]))
        self.presence = nn.Linear(2 * dims[3], 1)
        nn.init.zeros_(self.presence.weight)
        nn.init.constant_(self.presence.bias, HAZY)
        remember(self, config.scan)

    def forward(self, image: Tensor) -> Tensor:
        """Restore a batch of whole pictures: (batch, 3, height, width) to the same shape, any size.

        Raises:
            ValueError: the number of channels is not 3.
        """
        height, width = image.shape[2:]
        return self.apply_view(image, self.look(self.reduced(image)), Place(0, 0, height, width))

    def reduced(self, image: Tensor) -> Tensor:
        """The view of a picture: averaged down to at most :attr:`global_view` pixels."""
        height, width = image.shape[2:]
        size = view_size(height, width, self.global_view)
        return image if size == (height, width) else F.adaptive_avg_pool2d(image, size)

    def look(self, view: Tensor, strength: float = 1.0) -> Tensor:
        """What :meth:`apply_view` has to know of a picture.

        Args:
            view: (batch, 3, height, width), the whole picture as :meth:`reduced` makes it.
            strength: from 1 to 2: how many times the change is made; and the higher, the sooner a picture of which it
                is not sure is taken for hazy.

        Returns:
            (batch, 8, rows, columns): slopes and offsets, in luma, of k and b at half the resolution of the view.
        """
        if view.dim() != 4 or view.shape[1] != 3:
            raise ValueError(f"expected (batch, 3, height, width), got {tuple(view.shape)}")
        x = pad_to_multiple(view.permute(0, 2, 3, 1), self.multiple, repeat_edge=True)
        maps, presence = self._maps(x)
        maps, presence = maps.permute(0, 3, 1, 2), (presence + INSISTING * (strength - 1)).sigmoid() * strength
        through = THINNEST + (1 - THINNEST) * maps[:, :1].sigmoid()
        added = presence[:, :, None, None] * (1 / through - 1)
        coefficients = torch.cat([1 + added, -added * maps[:, 1:].sigmoid()], 1)
        guide = F.avg_pool2d(luma(x.permute(0, 3, 1, 2)), 2)
        cells = tuple((edge + 1) // 2 for edge in view.shape[2:])
        return lines(crop_axes(coefficients, cells), crop_axes(guide, cells), RADIUS, FLAT)

    def apply_view(self, region: Tensor, state: Tensor, place: Place) -> Tensor:
        """Restore a region (batch, 3, height, width) of the picture that ``state`` was made of."""
        return self.apply_view_of(region, state, place, view_size(place.height, place.width, self.global_view))

    def apply_view_of(self, region: Tensor, state: Tensor, place: Place, view: tuple[int, int]) -> Tensor:
        """As :meth:`apply_view`, given the size of the view; all numbers of places may be tensors, for tracing."""
        rows, columns = view
        grid = enlarged(state, (rows / 2, columns / 2), place, *region.shape[2:])
        fitted = grid[:, :4] * luma(region) + grid[:, 4:]
        return fitted[:, :1] * region + fitted[:, 1:]

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, height, width, 3) to what becomes t and A, (batch, height / 2, width / 2, 4), and presence of haze.

        The latter is (batch, 1), a logit.
        """
        extremes = _extremes(x)
        features = [F.gelu(self.stem(torch.cat([self.unshuffle(x), extremes], -1)))]
        for down, blocks in zip(self.downs, self.encoder, strict=True):
            extremes = _pooled(extremes)
            features.append(self._run(blocks, down(torch.cat([self.unshuffle(features[-1]), extremes], -1))))
        x = self._run(self.decoder[1], features[2] + _doubled(self.ups[2](features[3])))
        x = self._run(self.decoder[0], features[1] + _doubled(self.ups[1](x)))
        x = features[0] + _doubled(self.ups[0](x))
        return self.output(F.gelu(self.refine(x))), self._presence(features[3])

    def _presence(self, coarsest: Tensor) -> Tensor:
        cells = coarsest.flatten(1, 2)
        presence: Tensor = self.presence(torch.cat([cells.mean(1), cells.amax(1)], -1))
        return presence

    def _run(self, blocks: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(blocks, nn.ModuleList)
        return run_blocks(blocks, x, self.config.use_checkpoint)

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`; of the view."""
        for module in (self.stem, self.refine, self.output):
            yield module, 1 / 4
        for k in range(3):
            yield self.downs[k], 4.0 ** -(k + 2)
            yield self.encoder[k], 4.0 ** -(k + 2)
            yield self.ups[k], 4.0 ** -(k + 2)
        for k in range(2):
            yield self.decoder[k], 4.0 ** -(k + 2)


def _extremes(x: Tensor) -> Tensor:
    """Darkest and (negative) brightest value of any channel in blocks of two pixels: haze leaves nothing dark."""
    return _pooled(torch.cat([x.amin(-1, keepdim=True), -x.amax(-1, keepdim=True)], -1))


def _pooled(x: Tensor) -> Tensor:
    """Least values of blocks of two pixels."""
    return -F.max_pool2d(-x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)


def _doubled(x: Tensor) -> Tensor:
    planes = x.permute(0, 3, 1, 2)
    return F.interpolate(planes, scale_factor=2, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like MambaIRDehaze's."""
    return "stem.weight" in state_dict and any(key.startswith("downs.") for key in state_dict)


def infer(state_dict: StateDict) -> MambaIRDehazeConfig:
    """Configuration of weights.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    dims = tuple(
        shape(state_dict, key, 4)[0] for key in ("stem.weight", "downs.0.weight", "downs.1.weight", "downs.2.weight")
    )
    block = "encoder.0.0.self_attention."
    encoder = tuple(count(state_dict, f"encoder.{level}.") for level in range(3))
    decoder = tuple(count(state_dict, f"decoder.{level}.") for level in range(2))
    if not min(encoder + decoder):
        raise InferenceError("a level has no block")
    return MambaIRDehazeConfig(
        dims=dims,
        num_blocks=encoder,
        num_decoder_blocks=decoder,
        d_state=shape(state_dict, block + "A_logs", 2)[1],
        mlp_ratio=ratio(shape(state_dict, block + "in_proj.weight", 2)[0] // 2, dims[1]),
        scan=recalled(state_dict),
    )


def describe(config: MambaIRDehazeConfig) -> Descriptor:
    """What inference has to know."""
    return Descriptor(
        scale=1,
        in_channels=3,
        size_multiple=1,
        tile=512,
        bytes_per_pixel=4 * 64,
        global_view=MambaIRDehaze.global_view,
    )
