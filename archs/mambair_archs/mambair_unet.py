"""MambaIRUNet: MambaIR's blocks in the U-shape of Restormer (arXiv 2111.09881), for real-noise removal."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .blocks import restormer
from .blocks.convolution import Conv2d, conv3x3
from .blocks.merging import CROSS, Scan, recalled, remember
from .blocks.padding import crop, pad_to_multiple
from .blocks.residual import VSSBlock
from .config import InferenceError, StateDict, count, create, option, ratio, shape
from .descriptor import Descriptor
from .network import Network


@dataclass(frozen=True, kw_only=True)
class MambaIRUNetConfig:
    """Options of :class:`MambaIRUNet`, named as in the published recipe.

    ``mlp_ratio`` 1.5 is what the released weights need. ``dual_pixel_task`` takes two RGB views (six channels).
    """

    inp_channels: int = option(3, "Channels of the input.")
    out_channels: int = option(3, "Channels of the output.")
    dim: int = option(48, "Channels of the first level.")
    num_blocks: tuple[int, ...] = option((4, 6, 6, 8), "Blocks of each level, from the finest.")
    num_refinement_blocks: int = option(4, "Blocks after the last level.")
    d_state: int = option(16, "States per channel of the scan.")
    mlp_ratio: float = option(1.5, "Channels of the scan over those of the level.")
    bias: bool = option(False, "Whether the convolutions outside the blocks have a bias.")
    dual_pixel_task: bool = option(False, "Take two RGB views, six channels.")
    scan: Scan = option(CROSS, "Paths of the scans, and how their results are merged.")
    use_checkpoint: bool = option(False, "Recompute activations in the backward pass: less memory, more time.")

    def __post_init__(self) -> None:
        if len(self.num_blocks) != 4 or min(self.num_blocks) < 1 or self.num_refinement_blocks < 1:
            raise ValueError(f"num_blocks must be four positive numbers, got {self.num_blocks}")
        for level in range(4):
            self.scan.check(int(self.mlp_ratio * self.dim * 2**level))
        if self.dim < 30 or self.dim % 2:
            raise ValueError(f"dim must be even and at least 30, got {self.dim}")
        if not self.dual_pixel_task and self.inp_channels != self.out_channels:
            raise ValueError("inp_channels and out_channels must be equal, the input is added to the output")


class MambaIRUNet(Network, restormer.RestormerShape):
    """Encoder and decoder of three halvings; image in, image out, values in [0, 1].

    Keyword options: see :class:`MambaIRUNetConfig`.
    """

    multiple = 8

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.config = config = create(MambaIRUNetConfig, options)
        dim, bias, numbers = config.dim, config.bias, itertools.count()

        def block(width: int) -> VSSBlock:
            inner = int(config.mlp_ratio * width)
            return VSSBlock(width, config.d_state, inner, scan=config.scan, number=next(numbers))

        self.patch_embed = restormer.PatchEmbed(config.inp_channels, dim, bias)
        self.build_levels(dim, config.num_blocks, config.num_refinement_blocks, block, bias)
        if config.dual_pixel_task:
            self.skip_conv = Conv2d(dim, 2 * dim, 1, bias=bias)
        self.output = conv3x3(2 * dim, config.out_channels, bias=bias)
        remember(self, config.scan)

    def forward(self, image: Tensor) -> Tensor:
        """Restore a batch: (batch, in, height, width) to (batch, out, height, width), any size.

        Raises:
            ValueError: the number of channels is not the network's.
        """
        if image.dim() != 4 or image.shape[1] != self.config.inp_channels:
            raise ValueError(f"expected (batch, {self.config.inp_channels}, height, width), got {tuple(image.shape)}")
        x = pad_to_multiple(image.permute(0, 2, 3, 1), self.multiple, repeat_edge=False)
        shallow = self.patch_embed(x)
        dec1 = self.run_levels(shallow, self.config.use_checkpoint)
        # Two views cannot be added to one picture, so the shallow features take the place of the input.
        dual = self.config.dual_pixel_task
        out: Tensor = self.output(dec1 + self.skip_conv(shallow)) if dual else self.output(dec1) + x
        return crop(out, image.shape[2], image.shape[3]).permute(0, 3, 1, 2).contiguous()

    def stages(self) -> Iterator[tuple[nn.Module, float]]:
        """See :class:`Network`."""
        yield from restormer.costs(self)


def matches(state_dict: StateDict) -> bool:
    """Whether the keys look like MambaIRUNet's."""
    return any(key.startswith("encoder_level1.0.self_attention.") for key in state_dict)


def infer(state_dict: StateDict) -> MambaIRUNetConfig:
    """Configuration of published or own weights.

    Raises:
        InferenceError: the tensors do not determine a configuration.
    """
    dim, in_channels = shape(state_dict, "patch_embed.proj.weight", 4)[:2]
    block = "latent.0.self_attention."
    depths = tuple(count(state_dict, f"{level}.") for level in restormer.LEVELS)
    if not min(depths):
        raise InferenceError(f"{restormer.LEVELS[depths.index(0)]}.0 is missing")
    return MambaIRUNetConfig(
        inp_channels=in_channels,
        out_channels=shape(state_dict, "output.weight", 4)[0],
        dim=dim,
        num_blocks=depths,
        num_refinement_blocks=count(state_dict, "refinement."),
        d_state=shape(state_dict, block + "A_logs", 2)[1],
        mlp_ratio=ratio(shape(state_dict, block + "in_proj.weight", 2)[0] // 2, 8 * dim),
        bias="output.bias" in state_dict,
        scan=recalled(state_dict),
        dual_pixel_task="skip_conv.weight" in state_dict,
    )


def describe(config: MambaIRUNetConfig) -> Descriptor:
    """What inference has to know."""
    return Descriptor(
        scale=1,
        in_channels=config.inp_channels,
        size_multiple=MambaIRUNet.multiple,
        tile=256,
        bytes_per_pixel=4 * int((24 + 16 * config.mlp_ratio) * config.dim),
    )
