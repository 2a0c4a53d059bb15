"""Launches scan.cu, which is compiled at run time for the sizes of a network: only what comes with torch is needed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from ..errors import BackendError
from ..operations import ImageScan, dense
from ..triton import fused
from ..triton.launch import add_up, carry, launched
from ..triton.launching import launching
from . import driver

SOURCE: Final = Path(__file__).with_name("scan.cu")
TYPES: Final = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
WARP: Final = 32
TILE = 16


@dataclass(frozen=True)
class Setting:
    """Channels of a warp, most warps of a block, and warps of a multiprocessor, which decide a thread's registers."""

    lanes: int
    warps: int
    resident: int


WIDE = Setting(lanes=WARP, warps=4, resident=16)
NARROW = Setting(lanes=8, warps=3, resident=12)
"""The fastest on an H200 at 64 x 64 and 256 x 256, of 9 for 360 channels and of 13 for 72 (docs/gpu.md)."""
MOST_IDLE = 1.2
"""Lanes per channel beyond which a warp is narrow. A wide one reads each row once for four times as many channels: with
1.33 it took 1.11 times as long."""
ENOUGH = 16
"""Warps of a multiprocessor beyond which an image is walked in one pass, without cutting it into chunks."""
LARGEST: Final = 2**31
"""Numbers that an offset reaches."""
MAX_ROW: Final = 64
"""Numbers that a step and its B and C take: more would need more shared memory and registers than there are."""


@dataclass(frozen=True)
class Shape:
    """What a compilation is for: the constants that scan.cu names."""

    STATES: int
    RANK: int
    LANES: int
    WARPS: int
    RESIDENT: int
    TILE: int
    ADDS: int
    INDEXED: int
    C_BIAS: int
    TYPE: int

    @property
    def groups(self) -> int:
        """Chunks of a block."""
        return WARP // self.LANES


def missing() -> str | None:
    """What this machine lacks, if anything."""
    if torch.version.cuda is None or not torch.cuda.is_available():
        return "torch finds no CUDA device"
    if torch.cuda.get_device_capability() < (8, 0):
        return "the card copies nothing ahead; those from compute capability 8.0 on do"
    return None


@cache
def compiled(kernel: str, shape: Shape, device: torch.device) -> Callable[..., None]:
    """A kernel of scan.cu for a device, which is the current one.

    Raises:
        BackendError: it cannot be compiled.
    """
    return _program(shape, device).kernel(kernel)


def program(shape: Shape) -> str:
    """The source of a compilation."""
    constants = "".join(f"constexpr int {name} = {value};\n" for name, value in vars(shape).items())
    return constants + SOURCE.read_text()


@cache
def _program(shape: Shape, device: torch.device) -> driver.Program:
    try:
        return driver.load(program(shape))
    except (driver.CompilationError, OSError) as error:
        raise BackendError(f"scan.cu cannot be compiled for {device}: {error}; choose another scan backend") from error


@cache
def multiprocessors(device: torch.device) -> int:
    """Of a card."""
    return torch.cuda.get_device_properties(device).multi_processor_count


def handles(inputs: ImageScan) -> bool:
    """Whether offsets within this image can be told in 32 bits, and its states held in registers."""
    x, row = inputs.x, inputs.x_proj.shape[0] * inputs.x_proj.shape[1]
    return x.shape[1] * x.shape[2] * max(x.shape[3], row) < LARGEST and inputs.x_proj.shape[1] <= MAX_ROW


def cut(inputs: ImageScan, together: int) -> tuple[Shape, int, int]:
    """The compilation, steps per chunk, and sets of channels, if ``together`` paths are launched at a time."""
    batch, height, width, channels = inputs.x.shape
    cores = multiprocessors(inputs.x.device)
    whole = batch * together * -(-channels // WARP) >= ENOUGH * cores or height * width <= 2 * TILE
    setting = WIDE if whole or -(-channels // WARP) * WARP <= MOST_IDLE * channels else NARROW
    lanes, blocks = setting.lanes, -(-channels // setting.lanes)
    warps = min(range(1, setting.warps + 1), key=lambda count: (-(-blocks // count) * count, -count))
    sets, resident = -(-blocks // warps), max(1, setting.resident // warps)
    shape = Shape(
        STATES=inputs.A_log.shape[1], RANK=inputs.dt_proj.shape[2], LANES=lanes, WARPS=warps, RESIDENT=resident,
        TILE=TILE, ADDS=0, INDEXED=int(inputs.positions is not None), C_BIAS=int(inputs.c_bias is not None),
        TYPE=TYPES[inputs.x.dtype],
    )  # fmt: skip
    chunks = 1 if whole else max(1, cores * resident // (batch * together * sets)) * shape.groups
    return shape, -(-height * width // (chunks * TILE)) * TILE, sets


def scan(inputs: ImageScan) -> Tensor:
    """The output for an image that :func:`handles` says can be handled, shaped and typed like x.

    Every path, or one after the other where an output for each takes too much memory, is walked twice, as in
    :mod:`mambair_kernels.triton.scan`; the states between the chunks and the sum over paths are that backend's.
    """
    x, x_proj, dt_proj, bias, A_log, D, c_bias, index = dense(*inputs[:-1])
    batch, height, width, channels = x.shape
    paths, state, length = len(x_proj), A_log.shape[1], height * width
    together = launched(paths, x.numel())
    shape, span, sets = cut(inputs, together)
    chunks = -(-length // span)
    rows = fused.projected(x, x_proj.view(-1, channels))
    nothing = bias
    c_bias, index = (nothing if each is None else each for each in (c_bias, index))
    orders = sum(order << 2 * k for k, order in enumerate(inputs.orders))
    sizes = [orders, paths, channels, length, height, width, span, chunks, sets]
    block = (WARP * shape.WARPS, 1, 1)

    def grid(count: int) -> tuple[int, int, int]:
        return -(-chunks // shape.groups) * sets, count, batch

    with launching(x):
        starts = nothing
        if chunks > 1:
            decays, ends = x.new_empty(2, batch, paths, chunks, state, channels, dtype=torch.float32).unbind()
            summarised = x, rows, dt_proj, bias, A_log, index, decays, ends
            compiled("summarise", shape, x.device)(grid(paths), block, summarised, sizes)
            starts = carry(decays, ends, reverse=False)
        parts = x.new_empty(together, *x.shape, dtype=torch.float32)
        for path in range(0, paths, together):
            form = shape if path == 0 else _adding(shape)
            tensors = x, rows, dt_proj, bias, A_log, D, c_bias, index, starts, parts
            compiled("outputs", form, x.device)(grid(together), block, tensors, [path, *sizes])
        if together == 1:
            return torch.squeeze(parts, 0).to(x.dtype)
        out = torch.empty_like(x)
        add_up(parts, out)
    return out


@cache
def _adding(shape: Shape) -> Shape:
    return Shape(**{**vars(shape), "ADDS": 1})
