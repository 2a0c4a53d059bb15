"""Finds and loads the native CPU library, and mirrors its C interface (``csrc/arguments.h``).

One library exists per instruction set; the best that the processor can run is taken, or the one that
``MAMBAIR_CPU_ISA`` names. torch is imported first on purpose: its OpenMP runtime is then the one that the library uses.
"""

import ctypes
import os
import platform
import sys
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ..constant import constant

VARIABLE = "MAMBAIR_CPU_ISA"
DESCRIPTIONS = {"v4": "AVX-512", "v3": "AVX2", "v2": "SSE4.2", "generic": "portable"}
FOLDER = Path(__file__).parent
SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
MISSING = "no native library was built; a C++ compiler was missing at install"

IMAGE_INPUTS = "x x_proj dt_proj dt_bias A_log D c_bias"
SEQUENCE_INPUTS = "u delta A B C D delta_bias"

INT, FLOAT, POINTER = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p


def _members(kind: type, names: str) -> list[tuple[str, type]]:
    return [(name, kind) for name in names.split()]


class ImageArguments(ctypes.Structure):
    """Arguments of the two-dimensional scan, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        *_members(INT, "batch height width channels d_state dt_rank paths threads"),
        *_members(POINTER, f"orders index {IMAGE_INPUTS} out"),
        *_members(POINTER, "grad_out grad_x grad_rows grad_weights"),
    ]


class SequenceArguments(ctypes.Structure):
    """Arguments of the plain scan, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        *_members(INT, "batch groups channels length d_state delta_softplus threads"),
        *_members(POINTER, f"{SEQUENCE_INPUTS} out"),
        *_members(POINTER, "grad_out grad_u grad_delta grad_B grad_C grad_weights"),
    ]


class LinearArguments(ctypes.Structure):
    """Arguments of the fused linear layer, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        *_members(INT, "pixels channels out x_stride gate_stride activation threads"),
        *_members(FLOAT, "eps"),
        *_members(POINTER, "x norm_weight norm_bias gate weight bias residual scale y"),
    ]


class LinearBackwardArguments(ctypes.Structure):
    """Arguments of its gradients, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        ("forward", LinearArguments),
        *_members(POINTER, "grad grad_before value grad_x grad_gate grad_norm"),
    ]


class ConvolutionArguments(ctypes.Structure):
    """Arguments of the 3x3 convolution, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        *_members(INT, "batch height width channels out activation threads factor added y_image y_plane y_row"),
        *_members(POINTER, "x residual weight bias y"),
    ]


class DepthwiseArguments(ctypes.Structure):
    """Arguments of the depthwise convolution, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        *_members(INT, "batch height width channels kernel dilation x_stride activation threads"),
        *_members(POINTER, "x weight bias y"),
    ]


class SeparablePair(ctypes.Structure):
    """A linear layer and the convolution after it, in the order of ``csrc/arguments.h``."""

    _fields_ = [("linear", LinearArguments), ("depthwise", DepthwiseArguments)]


class SeparableArguments(ctypes.Structure):
    """Arguments of one such pair or two, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        *_members(INT, "batch height width pairs threads"),
        ("first", SeparablePair),
        ("second", SeparablePair),
        *_members(POINTER, "rest mean"),
    ]


class DepthwiseBackwardArguments(ctypes.Structure):
    """Arguments of its gradients, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        ("forward", DepthwiseArguments),
        *_members(POINTER, "grad grad_before grad_x grad_weight"),
    ]


class ResidualArguments(ctypes.Structure):
    """Arguments of the gated residual, in the order of ``csrc/arguments.h``."""

    _fields_ = [*_members(INT, "images pixels channels threads"), *_members(POINTER, "x scale features gate y")]


class ResidualBackwardArguments(ctypes.Structure):
    """Arguments of its gradients, in the order of ``csrc/arguments.h``."""

    _fields_ = [("forward", ResidualArguments), *_members(POINTER, "grad grad_x grad_features grad_sums")]


class GateArguments(ctypes.Structure):
    """Arguments of the gate of channel attention, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        *_members(INT, "images channels hidden"),
        *_members(POINTER, "x squeeze squeeze_bias excite excite_bias y"),
    ]


class AttentionArguments(ctypes.Structure):
    """Arguments of the attention within windows, in the order of ``csrc/arguments.h``."""

    _fields_ = [
        *_members(INT, "batch rows columns tokens heads head_dim variants threads"),
        *_members(POINTER, "qkv bias y"),
    ]


def address(tensor: Tensor | None) -> int | None:
    """Where a contiguous tensor begins; None for None.

    Raises:
        ValueError: it is not in the memory that the library can read.
    """
    if tensor is None:
        return None
    if tensor.device.type != "cpu":
        raise ValueError(f"a tensor on {tensor.device} cannot be used together with one on the CPU")
    return tensor.data_ptr()


def supported() -> tuple[str, ...]:
    """Instruction sets that this processor can run, the fastest first."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return ("generic",)
    levels = ("v4", "v3", "v2")
    return levels[{"AVX512": 0, "AVX2": 1}.get(torch.backends.cpu.get_cpu_capability(), 2) :]


def built() -> tuple[str, ...]:
    """Instruction sets for which a library lies beside this file."""
    return tuple(name for name in DESCRIPTIONS if _path(name).exists())


def choose() -> tuple[str | None, str]:
    """Name of the instruction set to use, or None, and the reason."""
    wanted = os.environ.get(VARIABLE)
    if not built():
        return None, MISSING
    if wanted and wanted not in built():
        return None, f"{VARIABLE}={wanted} was not built; there are {', '.join(built())}"
    if wanted and wanted not in supported():
        return None, f"{VARIABLE}={wanted} needs {DESCRIPTIONS[wanted]}, which this processor lacks"
    for name in (wanted,) if wanted else supported():
        if name in built():
            return name, f"native {DESCRIPTIONS[name]} code" + (f", asked for by {VARIABLE}" if wanted else "")
    return None, f"built for {', '.join(built())} only, which this processor cannot run"


@constant
def available() -> tuple[bool, str]:
    """Whether a library can be used, and which or why not; a compiler asks once."""
    name, reason = _choose(os.environ.get(VARIABLE))
    return name is not None, reason


def library() -> ctypes.CDLL:
    """The library in use.

    Raises:
        RuntimeError: there is none; the message is that of :func:`available`.
    """
    name, reason = _choose(os.environ.get(VARIABLE))
    if name is None:
        raise RuntimeError(reason)
    return _load(name)


def call(function: str, arguments: ctypes.Structure) -> int:
    """Calls a function of the library that takes one structure; its result.

    Raises:
        MemoryError: a scan could not get its scratch memory.
    """
    result: int = getattr(library(), function)(ctypes.byref(arguments))
    if result != 0 and not function.endswith(("_splits", "_blocks")):
        raise MemoryError("the native library could not allocate its scratch memory")
    return result


def lanes() -> int:
    """Channels that the library handles at a time."""
    count: int = library().mambair_lanes()
    return count


def peak_flops(threads: int) -> float:
    """Measured rate of fp32 multiply-adds on ``threads`` cores, in FLOP/s."""
    rate: float = library().mambair_peak_flops(threads)
    return rate


def forget() -> None:
    """Looks for the libraries anew: for tests, and after a build."""
    _choose.cache_clear()
    _load.cache_clear()


def _path(name: str) -> Path:
    return FOLDER / f"_cpu_{name}{SUFFIX}"


@cache
def _choose(_wanted: str | None) -> tuple[str | None, str]:
    """:func:`choose`, and a test load; asked once per value of the variable, not at every scan."""
    name, reason = choose()
    if name is None:
        return None, reason
    try:
        _load(name)
    except OSError as error:
        return None, f"the native library cannot be loaded: {error}"
    return name, reason


@cache
def _load(name: str) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(_path(name)))
    loaded.mambair_peak_flops.restype = ctypes.c_double
    for count in (loaded.mambair_image_splits, loaded.mambair_sequence_splits, loaded.mambair_residual_blocks):
        count.restype = ctypes.c_int64
    return loaded
