"""What a process takes before it has its first picture: python -m benchmarks.gpu_start DEVICE.

Prints the seconds of the imports, and those of the first call of a network, as a line of JSON.
"""

import time

BEGAN = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402

from mambair_archs import MambaIR  # noqa: E402

LIGHT: dict[str, Any] = {"upscale": 4, "d_state": 10, "mlp_ratio": 1.2, "upsampler": "pixelshuffledirect"}
"""MambaIR-light x4."""


def main() -> None:
    """Run the network once on 64 x 64 pixels, on a processor on 8 x 8."""
    imported, device = time.perf_counter(), torch.device(sys.argv[1])
    size = 8 if device.type == "cpu" else 64
    network = MambaIR(**LIGHT).eval().to(device)
    x = torch.rand(1, 3, size, size, device=device)
    before = time.perf_counter()
    with torch.inference_mode():
        network(x).cpu()
    print(json.dumps({"imports": imported - BEGAN, "first": time.perf_counter() - before}))


if __name__ == "__main__":
    main()
