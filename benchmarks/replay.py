"""Compares native libraries of other systems and processors with the one at home, call by call.

python -m benchmarks.replay record CALLS [--isa v2]
python -m benchmarks.replay run LIBRARY CALLS [--target ZIG-TARGET] [--with "EMULATOR ..."]

``record`` runs scans of all kinds (long memory, index tables, plain sequences), layers and whole networks, forward and
backward, with one and with two threads, and keeps what every call of the library found and left in memory. Gradients
of weights lie as wide as the library's vectors: v2 (SSE4.2) has four lanes as NEON has. ``run`` compiles a small
program (benchmarks/replay.cpp) that makes the same calls of another library without Python or torch, so that a DLL runs
under Wine and a library for ARM under qemu:

    … run _cpu_v2.dll calls --target x86_64-windows-gnu --with wine
    … run _cpu_generic.so calls --target aarch64-linux-gnu.2.28 --with "qemu-aarch64-static -L /usr/aarch64-linux-gnu"
"""

import argparse
import ctypes
import os
import shlex
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor, nn

from mambair_archs import MambaIR, MambaIRNano, MambaIRv2Light
from mambair_archs.blocks.selective_scan import SelectiveScan2d
from mambair_kernels import selective_scan
from mambair_kernels.convolution import convolve_rows
from mambair_kernels.cpu import native
from mambair_kernels.paths import CROSS_SCAN, SNAKE
from mambair_kernels.paths import Path as ScanPath

TOLERANCE = 2e-5
"""Of a difference to the largest value of a result: orders of summation differ with the width of vectors."""
SOURCE = Path(__file__).with_suffix(".cpp")
MODULES = [
    module
    for name, module in sys.modules.items()
    if name.startswith("mambair_kernels.cpu.") and module is not native and hasattr(module, "address")
]
"""Of the backend, with all that call the library."""
COUNTS = ("mambair_image_splits", "mambair_sequence_splits", "mambair_residual_blocks")


class Memory(NamedTuple):
    """What a pointer points to: one in the structure, or in the memory whose number is ``owner``."""

    owner: int
    place: int
    address: int
    size: int


STRUCTURE = -1


def pointers(kind: type[ctypes.Structure], start: int = 0) -> Iterator[int]:
    """Where the pointers lie in a structure, nested ones included, in bytes."""
    for name, of, *_ in kind._fields_:
        place = start + getattr(kind, name).offset
        if isinstance(of, type) and issubclass(of, ctypes.Structure):
            yield from pointers(of, place)
        elif of is native.POINTER:
            yield place


class Recorder:
    """Stands between the backend and its library, and writes down every call."""

    def __init__(self, to: IO[bytes]) -> None:
        self.to = to
        self.sizes: dict[int, int] = {}
        self.calls = 0
        self.call, self.address = native.call, native.address

    def __enter__(self) -> "Recorder":
        native.call = self.recorded  # type: ignore[assignment]
        for module in MODULES:
            module.address = self.located  # type: ignore[attr-defined]
        return self

    def __exit__(self, *_: object) -> None:
        native.call = self.call
        for module in MODULES:
            module.address = self.address  # type: ignore[attr-defined]

    def located(self, tensor: Tensor | None) -> int | None:
        """As ``native.address``, and remembers how much memory follows."""
        place = self.address(tensor)
        if tensor is not None and place is not None:
            storage = tensor.untyped_storage()
            self.sizes[place] = int(storage.nbytes()) - int(tensor.storage_offset()) * tensor.element_size()
        return place

    def recorded(self, function: str, job: ctypes.Structure) -> int:
        """As ``native.call``."""
        if function in COUNTS:
            return self.call(function, job)
        orders = getattr(job, "orders", None)
        if orders:
            self.sizes[orders] = 4 * int(job.paths)
        image = bytes(job)
        used: list[Memory] = []
        for place in pointers(type(job)):
            (address,) = struct.unpack_from("P", image, place)
            rows = self._rows(job, place) if isinstance(job, native.ConvolutionArguments) else []
            if address and rows:
                used.append(Memory(STRUCTURE, place, address, 8 * len(rows)))
                owner, found = len(used) - 1, ctypes.cast(address, ctypes.POINTER(native.POINTER))
                used += [Memory(owner, 8 * i, row, size) for i, size in enumerate(rows) if (row := found[i])]
            elif address:
                used.append(Memory(STRUCTURE, place, address, self.sizes[address]))
        before = [ctypes.string_at(memory.address, memory.size) for memory in used]
        result = self.call(function, job)
        self._write(struct.pack("q", len(used)))
        self._block(function.encode())
        self._block(image)
        for memory, content in zip(used, before, strict=True):
            after = ctypes.string_at(memory.address, memory.size)
            changed = after != content
            self._write(struct.pack("qqq", memory.owner, memory.place, changed))
            self._block(content)
            if changed:
                self._block(after)
        self.calls += 1
        return result

    @staticmethod
    def _rows(job: native.ConvolutionArguments, place: int) -> list[int]:
        """Sizes in bytes of the rows that a pointer of a convolution leads to, if it leads to rows."""
        if place == native.ConvolutionArguments.x.offset:
            return [4 * job.width * job.channels] * (job.batch * (job.height + 2))
        if place == native.ConvolutionArguments.residual.offset:
            return [4 * job.width * job.out] * (job.batch * job.height)
        return []

    def _write(self, content: bytes) -> None:
        self.to.write(content)

    def _block(self, content: bytes) -> None:
        self._write(struct.pack("q", len(content)) + content)


def trained(make: Callable[[], Tensor], leaves: list[Tensor]) -> None:
    """Forward and backward."""
    for leaf in leaves:
        leaf.requires_grad_(True)
    made = make()
    made.backward(torch.randn_like(made))


def scans(paths: tuple[ScanPath, ...], size: tuple[int, int], remembered: bool) -> None:
    """Fused scans of images; ``remembered``: states that hardly decay, where errors add up."""
    layer = SelectiveScan2d(21, 5, 3, len(paths))
    if remembered:
        nn.init.constant_(layer.A_logs, -9.0)
    x = torch.randn(2, *size, 21)
    trained(lambda: layer.scan(x, paths), [x, *layer.parameters()])


def sequences() -> None:
    """The plain scan, with and without its optional parts."""
    u, delta = torch.randn(2, 12, 45), torch.randn(2, 12, 45)
    A, B, C, D = -torch.rand(12, 6), torch.randn(2, 3, 6, 45), torch.randn(2, 3, 6, 45), torch.randn(12)
    bias = torch.randn(12)
    trained(
        lambda: selective_scan(u, delta, A, B, C, D, delta_bias=bias, delta_softplus=True),
        [u, delta, A, B, C, D, bias],
    )
    with torch.no_grad():
        selective_scan(u, delta.abs(), A, B, C)


def convolutions() -> None:
    """Rows of several tensors, on both edges of the image and on none."""
    x, weight, bias, residual = (
        torch.randn(2, 21, 19, 7),
        torch.randn(10, 7, 3, 3),
        torch.randn(10),
        torch.randn(2, 21, 19, 10),
    )
    convolve_rows([x], weight, bias, "silu", above=True, below=True)
    convolve_rows(
        [x[:, :6], x[:, 6:]], weight, None, "gelu", [residual[:, 1:9], residual[:, 9:20]], above=False, below=False
    )


def networks() -> list[nn.Module]:
    """Whole networks with every layer that has native code."""
    return [
        MambaIR(upscale=2, embed_dim=30, depths=(2,), d_state=10, mlp_ratio=1.2, upsampler="pixelshuffledirect"),
        MambaIRNano(upscale=2, embed_dim=24, depth=2, scan_after=(1,), scan_dim=24),
        MambaIRv2Light(
            upscale=2,
            embed_dim=24,
            d_state=8,
            depths=(2,),
            num_heads=(2,),
            window_size=8,
            upsampler="pixelshuffledirect",
        ),
    ]


def record(to: Path, isa: str = "v2", *, whole: bool = True) -> int:
    """Write the calls of all this down, and return how many there were.

    Fresh memory holds NaN, so that nothing is used before it is written.
    """
    os.environ[native.VARIABLE] = isa
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    with to.open("wb") as file, Recorder(file) as recorder:
        file.write(struct.pack("q", native.lanes()))
        for count in (1, 2):
            torch.set_num_threads(count)
            torch.manual_seed(count)
            for paths in (CROSS_SCAN, (SNAKE, SNAKE.reversed)):
                for remembered in (False, True):
                    scans(paths, (23, 37), remembered)
            sequences()
            convolutions()
            for network in networks() if whole else []:
                x = torch.rand(1, 3, 24, 32)
                with torch.inference_mode():
                    network.eval()(x)
                trained(lambda net=network, x=x: net(x), list(network.parameters()))  # type: ignore[misc]
        torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    return recorder.calls


def build(target: str | None, to: Path) -> None:
    """Compile the program that replays: with the compiler at home, or with zig for another system.

    Raises:
        subprocess.CalledProcessError: it does not compile.
    """
    compiler = [sys.executable, "-m", "ziglang", "c++", "-target", target] if target else ["c++"]
    libraries = [] if target else ["-ldl"]
    subprocess.run([*compiler, "-std=c++17", "-O2", str(SOURCE), "-o", str(to), *libraries], check=True)


def run(library: Path, calls: Path, target: str | None = None, emulator: str = "") -> subprocess.CompletedProcess[str]:
    """Replay calls on a library; the output has a line per function."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / ("replay.exe" if target and "windows" in target else "replay")
        build(target, program)
        command = [*shlex.split(emulator), str(program), str(library.resolve()), str(calls.resolve()), str(TOLERANCE)]
        return subprocess.run(command, capture_output=True, text=True)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("calls", type=Path)
    recording.add_argument("--isa", default="v2", choices=native.DESCRIPTIONS, help="of the library at home")
    running = commands.add_parser("run")
    running.add_argument("library", type=Path)
    running.add_argument("calls", type=Path)
    running.add_argument("--target", help="what zig has to compile the program for")
    running.add_argument("--with", dest="emulator", default="", help="a command that runs programs of that system")
    given: Any = parser.parse_args()
    if given.what == "record":
        print(f"{record(given.calls, given.isa)} calls, {given.calls.stat().st_size / 1e6:.0f} MB")
        return 0
    done = run(given.library, given.calls, given.target, given.emulator)
    print(done.stdout + done.stderr, end="")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
