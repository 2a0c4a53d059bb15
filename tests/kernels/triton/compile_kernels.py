"""Compile the Triton kernels for a card that need not be there; prints what each takes of it.

One line per kernel: its name, registers per thread, what a thread keeps in memory instead (NVIDIA: bytes of stack, AMD:
registers spilled), bytes of shared memory, and the seconds that it took.

python -m tests.kernels.triton.compile_kernels BACKEND ARCHITECTURE WARP [light|classic]
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mambair_kernels.triton import gradient, kernels, launch

SCALARS = {"orders", "paths", "channels", "length", "height", "width", "span", "chunks", "size", "path_offset"} | {
    "adds",
    "slots",
}
IMAGE = {"SOFTPLUS": True, "INDEXED": False, "C_BIAS": True}
LIGHT, CLASSIC = {"N": 10, "RANK": 4, **IMAGE}, {"N": 16, "RANK": 12, **IMAGE}
Kernel = tuple[Any, dict[str, int]]


def walking(network: dict[str, int]) -> list[Kernel]:
    """The kernels of the backend ``triton``, for the sizes of a network."""
    forward, backward = (
        {**network, "TILE": each.tile, "BLOCK": each.block_sizes[0]} for each in (launch.FORWARD, launch.BACKWARD)
    )
    return [
        (kernels.summarise, {**forward, "GRADIENT": False}),
        (kernels.carry, {"REVERSE": True, "TILE": launch.CARRY_TILE, "BLOCK": launch.CARRY_BLOCK}),
        (kernels.outputs, {**forward, "STARTS": True}),
        (kernels.merge, {"BLOCK": launch.MERGE_BLOCK}),
        (kernels.summarise, {**backward, "GRADIENT": True}),
        (gradient.gradients, {**backward, "STARTS": True}),
    ]


KERNELS = {
    "light": walking(LIGHT),
    "classic": walking(CLASSIC),
}


def signature(names: list[str], constants: dict[str, int]) -> dict[str, str]:
    """Types of the arguments as in training in float32."""
    pointers = {name: "*i64" if name == "index" else "*fp32" for name in names}
    scalars = {name: "i32" for name in names if name in SCALARS or name.startswith("stride_")}
    return {**pointers, **scalars, **dict.fromkeys(constants, "constexpr")}


def resources(compiled: Any) -> tuple[int, int]:
    """Registers and spills of a thread, read from the machine code."""
    if "amdgcn" in compiled.asm:
        text = compiled.asm["amdgcn"]
        return number(r"\.vgpr_count:\s*(\d+)", text), number(r"\.vgpr_spill_count:\s*(\d+)", text)
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        command = [str(tool), "--dump-resource-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return number(r"REG:(\d+)", text), number(r"STACK:(\d+)", text) + number(r"LOCAL:(\d+)", text)


def number(pattern: str, text: str) -> int:
    """The number that follows a name in a report."""
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"the report holds nothing like {pattern}:\n{text}")
    return int(found[1])


def main() -> None:
    """Compile all for the target on the command line."""
    backend, architecture, warp, *which = sys.argv[1:]
    target = GPUTarget(backend, int(architecture) if architecture.isdigit() else architecture, int(warp))
    for kernel, constants in KERNELS[which[0] if which else "light"]:
        began = time.perf_counter()
        source = ASTSource(kernel, signature(kernel.arg_names, constants), constexprs=constants)
        compiled = triton.compile(source, target=target, options={"num_warps": 1, "enable_fp_fusion": True})
        registers, spilled = resources(compiled)
        print(
            kernel.fn.__name__,
            registers,
            spilled,
            compiled.metadata.shared,
            f"{time.perf_counter() - began:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
