"""Launches of real Triton, compiled for a card that is not here, by a driver that writes down what it is given.

python -m tests.kernels.triton.driverless: fails unless each launch arrives as Triton itself passes it on; prints how
many kernels were compiled that were not in Triton's cache.
"""

import math
import sys
import warnings
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

from mambair_kernels.triton import fused, launch, launching

LAUNCHED: list[list[Any]] = []


class Driver(DriverBase):  # type: ignore[misc]
    """A card of compute capability 9.0 whose kernels do nothing."""

    class launcher_cls:
        """Stands where Triton's own launcher does."""

        def __init__(self, source: Any, metadata: Any) -> None:
            self.name = metadata.name

        def __call__(self, *arguments: Any) -> None:
            *launch, _, enter, leave = arguments[:9]  # without what the launch is called in a profile
            LAUNCHED.append([self.name, *launch, enter, leave, *map(told, arguments[9:])])

    class utils:
        """Of the driver."""

        @staticmethod
        def load_binary(*_: Any) -> tuple[int, ...]:
            """Module, function, registers, spills, threads."""
            return 1, 2, 32, 0, 1024

        @staticmethod
        def get_device_properties(_: int) -> dict[str, int]:
            """What is asked for before a launch."""
            return {"max_shared_mem": 232448, "multiprocessor_count": 132}

    @classmethod
    def is_active(cls) -> bool:
        """Always."""
        return True

    def map_python_to_cpp_type(self, ty: str) -> str:
        """For the launcher, which needs none."""
        return ty

    def get_current_target(self) -> Any:
        """What is compiled for."""
        return GPUTarget("cuda", 90, 32)

    def get_active_torch_device(self) -> torch.device:
        """Where tensors lie."""
        return torch.device("cpu")

    def get_benchmarker(self) -> Any:
        """Nothing is timed."""
        raise NotImplementedError

    def get_current_device(self) -> int:
        """The only one."""
        return 0

    def get_current_stream(self, _: int) -> int:
        """The only one."""
        return 0


def told(argument: Any) -> Any:
    """A tensor by what it is, as that of a result lies elsewhere each time."""
    return (argument.shape, argument.stride(), argument.dtype) if isinstance(argument, Tensor) else argument


def run(offset: int) -> list[list[Any]]:
    """What arrives of the fused operations and of what the scan shares with Triton's; ``offset`` in numbers."""
    LAUNCHED.clear()
    shape = (2, 5, 7, 24)
    x = torch.zeros(math.prod(shape) + offset)[offset:].view(shape)
    one, weight, taps = torch.zeros(16), torch.zeros(40, 16), torch.zeros(24, 1, 3, 3)
    fused.linear(x[..., :16], (one, one), x[..., 8:], weight, None, None, None, 2, 1e-5)
    fused.depthwise(x, taps, None, 2, 1)
    fused.gated_residual(x, torch.zeros(24), x, x[:, :1, :1])
    squeeze, excite = torch.zeros(4, 24), torch.zeros(24, 4)
    fused.channel_gate(x[:1, :1, :1], squeeze, squeeze[:, 0].contiguous(), excite, torch.zeros(24))
    launch.carry(x[None], x[None], reverse=False)
    launch.add_up(torch.zeros(4, *shape), x)
    return [list(each) for each in LAUNCHED]


def main() -> None:
    """Compares launches of which Triton looks at every argument with those that follow."""
    warnings.simplefilter("ignore")
    compiled: list[str] = []

    def listen(metadata: dict[str, Any], cache_hit: bool, **_: Any) -> None:
        if not cache_hit:
            compiled.append(metadata["name"])

    triton.knobs.compilation.listener = listen
    triton.runtime.driver.set_active(Driver())
    for offset, known in ((1, 0), (0, 6)):  # what is not aligned is looked at each time
        first, again = run(offset), run(offset)
        assert len(launching._compiled) == known
        assert again == first, [(a, b) for a, b in zip(first, again, strict=True) if a != b]
    half = torch.zeros(4, 8, dtype=torch.bfloat16)
    launch.add_up(half, half[0])
    states = torch.zeros(1, 1, 1, 1, 8)
    launch.carry(states, states, reverse=True)
    assert len(launching._compiled) == 8  # another type, another constant
    sys.stdout.write(f"{len(compiled)}\n")


if __name__ == "__main__":
    main()
