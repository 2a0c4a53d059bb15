"""Compiles, loads and launches CUDA programs through the C interfaces of NVRTC, which torch brings, and the driver."""

import ctypes
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import kept

Sizes = tuple[int, int, int]
OPTIONS = ("--std=c++17",)


class CompilationError(RuntimeError):
    """NVRTC or the driver refused a program; the message is theirs."""


class Program:
    """What was compiled for the current device, loaded."""

    def __init__(self, code: bytes) -> None:
        self._module = ctypes.c_void_p()
        _succeed(_driver().cuModuleLoadData(ctypes.byref(self._module), code))

    def kernel(self, name: str) -> "Kernel":
        """One of its functions.

        Raises:
            CompilationError: there is none of this name.
        """
        return Kernel(self._module, name)


class Kernel:
    """A function of a loaded program. Its arguments are tensors, whose addresses it gets, and then C integers."""

    def __init__(self, module: ctypes.c_void_p, name: str) -> None:
        self._module, self._function = module, ctypes.c_void_p()
        _succeed(_driver().cuModuleGetFunction(ctypes.byref(self._function), module, name.encode()))

    def __call__(self, grid: Sizes, block: Sizes, tensors: Sequence[Tensor], numbers: Sequence[int]) -> None:
        """Launch on the current stream of the current device."""
        pointers, _values = packed(tensors, numbers)
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        _succeed(_driver().cuLaunchKernel(self._function, *grid, *block, 0, stream, pointers, None))


def packed(tensors: Sequence[Tensor], numbers: Sequence[int]) -> tuple[Any, Any]:
    """Addresses of a kernel's arguments, and the arguments, which have to live as long."""
    count = len(tensors) + len(numbers)
    # Of a place of 64 bits a kernel reads the first 32 for an int, its lower half on every machine that has such cards.
    values = (ctypes.c_int64 * count)(*map(Tensor.data_ptr, tensors), *numbers)
    start = ctypes.addressof(values)
    return (ctypes.c_void_p * count)(*range(start, start + 8 * count, 8)), values


def load(source: str) -> Program:
    """A program, compiled for the current device, now or by an earlier process.

    Raises:
        CompilationError: it cannot be compiled or loaded.
        OSError: NVRTC or the driver is not there.
    """
    major, minor = torch.cuda.get_device_capability()
    architecture = f"sm_{major}{minor}"
    name = kept.name("cubin", source, architecture, *OPTIONS, compiler_version())
    code = kept.read(name)
    if code is None:
        code = compiled(source, architecture)
        kept.write(name, code)
    return Program(code)


def compiled(source: str, architecture: str) -> bytes:
    """Machine code of a program.

    Raises:
        CompilationError: what NVRTC says.
        OSError: NVRTC is not there.
    """
    nvrtc, program = library(), ctypes.c_void_p()
    options = [f"--gpu-architecture={architecture}".encode(), *(option.encode() for option in OPTIONS)]
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"program.cu", 0, None, None)
    try:
        if nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
            raise CompilationError(_text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program).decode())
        return _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def compiler_version() -> str:
    """NVRTC's, such as 13.0.

    Raises:
        OSError: NVRTC is not there.
    """
    major, minor = ctypes.c_int(), ctypes.c_int()
    library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


def version() -> str:
    """The driver's, such as 580.65.06, which only its library for management tells.

    Raises:
        OSError: that library is not there.
        CompilationError: it does not tell.
    """
    management, text = _management(), ctypes.create_string_buffer(96)
    try:
        if management.nvmlInit_v2() or management.nvmlSystemGetDriverVersion(text, len(text)):
            raise CompilationError("the CUDA driver does not tell its version")
        return text.value.decode()
    finally:
        management.nvmlShutdown()


def _text(size_of: Any, get: Any, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    size_of(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(size.value)
    get(program, text)
    return text.raw


@cache
def library() -> ctypes.CDLL:
    """NVRTC of the version that torch was built with.

    Raises:
        OSError: it is not there.
    """
    for name in _names((torch.version.cuda or "").split(".")[0]):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError("NVRTC, which comes with torch for CUDA, is not there")


def _names(major: str) -> Iterator[str]:
    """Where it may be: already loaded, beside torch's own libraries, or in a package of NVIDIA's."""
    name = f"nvrtc64_{major}0_0.dll" if sys.platform == "win32" else f"libnvrtc.so.{major}"
    yield name
    home = Path(torch.__file__).parent
    yield str(home / "lib" / name)
    for folder in sorted((home.parent / "nvidia").glob("*/*")):
        if (folder / name).exists():
            yield str(folder / name)


@cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


@cache
def _management() -> ctypes.CDLL:
    return ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")


def _succeed(code: int) -> None:
    if code:
        text = ctypes.c_char_p()
        _driver().cuGetErrorString(code, ctypes.byref(text))
        raise CompilationError(f"the CUDA driver says: {(text.value or b'').decode()} ({code})")
