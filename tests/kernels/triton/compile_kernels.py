"""Compile the Triton kernels for a card that need not be there; prints the name of each that compiles.

python -m tests.kernels.triton.compile_kernels BACKEND ARCHITECTURE WARP
"""

import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mambair_kernels.triton import gradient, kernels

SCALARS = {"orders", "paths", "channels", "length", "height", "width", "span", "chunks", "size", "path_offset"}
IMAGE = {"N": 10, "RANK": 4, "SOFTPLUS": True, "INDEXED": False, "C_BIAS": True, "BLOCK": 32}
KERNELS: list[tuple[Any, dict[str, int]]] = [
    (kernels.summarise, {**IMAGE, "GRADIENT": True, "TILE": 8}),
    (kernels.carry, {"REVERSE": 1, "TILE": 16, "BLOCK": 64}),
    (kernels.outputs, {**IMAGE, "ADD": True, "TILE": 16}),
    (gradient.gradients, {**IMAGE, "ADD": True, "TILE": 8}),
]


def signature(names: list[str], constants: dict[str, int]) -> dict[str, str]:
    """Types of the arguments as in training in float32."""
    pointers = {name: "*i64" if name == "index" else "*fp32" for name in names}
    scalars = {name: "i32" for name in names if name in SCALARS or name.startswith("stride_")}
    return {**pointers, **scalars, **dict.fromkeys(constants, "constexpr")}


def main() -> None:
    """Compile all for the target on the command line."""
    backend, architecture, warp = sys.argv[1:]
    target = GPUTarget(backend, int(architecture) if architecture.isdigit() else architecture, int(warp))
    for kernel, constants in KERNELS:
        source = ASTSource(kernel, signature(kernel.arg_names, constants), constexprs=constants)
        triton.compile(source, target=target, options={"num_warps": 1, "enable_fp_fusion": True})
        print(kernel.fn.__name__, flush=True)


if __name__ == "__main__":
    main()
