"""Correctness and speed of the scan on a GPU: one command for a machine with a card.

python -m benchmarks.gpu [--json FILE] [--quick] [--seconds N]

First one line per usable backend: its deviation from float64, output and all gradients; one beyond rounding ends the
run with exit code 1. Then, in the order of worth: what a new process takes until it has its first result, with and
without what earlier ones have compiled and checked; the network and the SS2D core of the light model; single layers
beside torch's; a training step; the classic model; what is larger. Each in fp32 and bf16, for each backend but plain
torch, which is 70 times as slow; mamba_ssm takes part where it is installed, with the directions copied out by torch,
and in the tables of cores a plain CUDA form of its algorithm where it is not. Networks of stock layers stand beside:
EDSR-baseline and one like SPAN. Every row is printed, and written to FILE, as it comes; after N seconds no further row
is begun. A backend that took over a second is left out of the larger sizes of that table.

``first`` is the time of the first call, with what is compiled for it, and ``ms`` that of a later one from Python; of a
start it is that of the whole process, imports included. ``graph`` is the time as a CUDA graph, which tiles that come
again take: launches from Python may take longer than a small core. ``ratio`` is the time of mamba_ssm, or else of
cuda_port, triton or chunked, over that of the backend. ``of bound`` is the bound over the shorter time: the larger of
the bytes that must be moved at the bandwidth of a large copy, and the operations at the rate of a large matrix product,
both measured on the same card in the same run. Bytes of a core or a layer: input and output, of a layer weights, too.
Bytes of a network: input, output, weights, and for each block its features read and written once. Operations of a
network: the published way of counting.

``--device cpu`` (with TRITON_INTERPRET=1 for Triton) runs the same steps on tiny sizes, to test this program; its times
mean nothing.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import cuda_port, gpu_layers, gpu_start
from benchmarks.scan import Case
from mambair_archs import MambaIR
from mambair_archs.blocks.residual import VSSBlock
from mambair_archs.complexity import macs, parameters
from mambair_cli.restoration.yardstick import YARDSTICK, edsr_baseline
from mambair_kernels import CROSS_SCAN, chunked, dispatch
from mambair_kernels.triton import fused

NO_CARD = "This machine has no CUDA device that torch can use, so there is nothing to measure."
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TOLERANCE = {"fp32": 2e-4, "bf16": 4e-2}  # of the largest entry
CORES = {"light": (72, 10, 4), "classic": (360, 16, 12)}  # channels, states, rank
NETWORKS: dict[str, dict[str, Any]] = {
    "light": gpu_start.LIGHT,
    "classic": {"upscale": 4, "embed_dim": 180, "depths": (6,) * 6, "mlp_ratio": 2.0, "upsampler": "pixelshuffle"},
}
TINY = {
    "upscale": 2,
    "embed_dim": 30,
    "depths": (1,),
    "d_state": 2,
    "mlp_ratio": 1.0,
    "upsampler": "pixelshuffledirect",
}
ENOUGH = 2.0  # seconds spent on repeating a call
GRAPHED = ("cuda", "triton", "cuda_port")  # others wait for the card, or copy
PORT = "cuda_port"
FUSED = "fused layers"
SLOW = 1.0  # seconds of a call beyond which larger sizes are left out
LONG = 0.1  # seconds of a call beside which launches do not matter
COLUMNS = ("first s", "ms", "graph", "ratio", "of bound", "MiB")
HEAD = f"{'':28}{'size':>5} {'type':5}{'backend':13}" + "".join(f"{column:>10}" for column in COLUMNS)
Row = dict[str, Any]


class Card:
    """The device: clock, memory, and the two rates that bounds are made of."""

    def __init__(self, device: torch.device, tiny: bool) -> None:
        self.device, self.tiny, self.cuda = device, tiny, device.type == "cuda"
        self.repeats = 1 if tiny else 10
        self.slow: set[tuple[str, str, str]] = set()
        size = 64 if tiny else 8192
        self.flops = {name: self._flops(size, dtype) for name, dtype in TYPES.items()}
        source = torch.ones(size, size, device=device)
        target = torch.empty_like(source)
        self.bandwidth = 2 * source.nbytes / self._warm(lambda: target.copy_(source))

    def _flops(self, size: int, dtype: torch.dtype) -> float:
        a, b = torch.ones(2, size, size, device=self.device, dtype=dtype).unbind()
        return 2 * size**3 / self._warm(lambda: a @ b)

    def _warm(self, run: Callable[[], Any]) -> float:
        run()
        return self.seconds(run)

    def describe(self) -> Row:
        """What ran, for the report."""
        name = torch.cuda.get_device_name(self.device) if self.cuda else "CPU, for a test of this program only"
        return {"card": name, "torch": torch.__version__, "bandwidth": self.bandwidth, "flops": self.flops}

    def seconds(self, run: Callable[[], Any]) -> float:
        """Median time of a call that has been made before; fewer calls once they have taken two seconds."""
        times: list[float] = []
        for _ in range(self.repeats):
            self.wait()
            started = time.perf_counter()
            run()
            self.wait()
            times.append(time.perf_counter() - started)
            if sum(times) > ENOUGH:
                break
        return statistics.median(times)

    def replayed(self, run: Callable[[], Any]) -> float | None:
        """Median time of a call as a CUDA graph; None where there are none."""
        if not self.cuda:
            return None
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        graph.replay()
        return self.seconds(graph.replay)

    def wait(self) -> None:
        """Until the card has done what it was given."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def first(self, run: Callable[[], Any]) -> tuple[float, int]:
        """Time of a call that may have to compile, and the largest memory in use; 0 where torch does not count it."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        started = time.perf_counter()
        run()
        self.wait()
        took = time.perf_counter() - started
        return took, torch.cuda.max_memory_allocated(self.device) if self.cuda else 0

    def bound(self, moved: float, operations: float, dtype: str) -> float:
        """Seconds that no program can beat."""
        return max(moved / self.bandwidth, operations / self.flops[dtype])


@contextmanager
def using(backend: str) -> Iterator[None]:
    """Scans run on this backend."""
    before = os.environ.get(dispatch.VARIABLE)
    os.environ[dispatch.VARIABLE] = backend
    try:
        yield
    finally:
        del os.environ[dispatch.VARIABLE]
        if before is not None:
            os.environ[dispatch.VARIABLE] = before


def usable(device: torch.device) -> list[str]:
    """The backends to compare."""
    return [each.name for each in dispatch.BACKENDS if each.automatic and each.accepts(device, torch.float32)[0]]


def differentiate(scan: Callable[..., Tensor], tensors: list[Tensor], indexed: bool) -> list[Tensor]:
    """Output and all gradients of a scan along the four directions, or along a permutation with a prompt on C."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    *image, c_bias = leaves
    x = image[0]
    paths: Any = CROSS_SCAN
    if indexed:
        order = torch.rand(4 * len(x), x[0, ..., 0].numel(), generator=torch.Generator().manual_seed(1)).argsort(-1)
        paths = order.view(len(x), 4, -1).to(x.device)
    y = scan(*image, paths, c_bias if indexed else None)
    weights = torch.linspace(0, 9, y.numel(), device=y.device, dtype=torch.float64).sin().view_as(y).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, leaves if indexed else image, weights)]


def check(card: Card) -> Iterator[Row]:
    """Deviation of every backend from chunked in float64, itself tested against the reference: one row per backend.

    The largest difference over output and gradients, each relative to its largest entry. One shape, that of the light
    network, so that what is compiled here is what is measured next.
    """
    height, width, channels, d_state, rank = (3, 4, 5, 2, 1) if card.tiny else (40, 53, *CORES["light"])
    case = Case("", height, channels, d_state, rank)
    x, *weights = case.tensors()
    x = torch.randn(2, height, width, channels, generator=torch.Generator().manual_seed(2))
    tensors = [x, *weights, torch.randn(2, height * width, d_state)]
    for backend in (each for each in dispatch.BACKENDS if each.name in usable(card.device)):
        errors = {dtype: deviation(card, backend, tensors, dtype) for dtype in TYPES}
        passed = all(errors[dtype] <= TOLERANCE[dtype] for dtype in TYPES)
        yield {"backend": backend.name, "errors": errors, "passed": passed}
    if "triton" in usable(card.device):
        error = fused.deviation(card.device)
        yield {"backend": FUSED, "errors": {"fp32": error}, "passed": error <= TOLERANCE["fp32"]}
    if card.cuda:
        image = [each.to(card.device) for each in tensors[:-1]]
        port: Callable[..., Tensor] = cuda_port.scan_2d
        with torch.inference_mode():
            exact, found = chunked.scan_2d(*(each.double() for each in image), CROSS_SCAN, None), port(*image)
        error = float((found - exact).abs().max() / exact.abs().max())
        yield {"backend": PORT, "errors": {"fp32": error}, "passed": error <= TOLERANCE["fp32"]}


def deviation(card: Card, backend: dispatch.Backend, tensors: list[Tensor], dtype: str) -> float:
    """Largest deviation of one backend along the four directions, and along a permutation with a prompt on C."""
    low = [tensors[0].to(card.device, TYPES[dtype]), *(each.to(card.device) for each in tensors[1:])]
    worst = 0.0
    for indexed in (False, True):
        exact = differentiate(chunked.scan_2d, [each.double() for each in low], indexed)
        pairs = zip(differentiate(backend.scan_2d, low, indexed), exact, strict=True)
        worst = max(worst, *(float((one - other).abs().max() / other.abs().max()) for one, other in pairs))
    return worst


def compare(card: Card, row: Row, bound: float, runs: Callable[[str], Callable[[], Any]]) -> Iterator[Row]:
    """One row per backend, the one that others are compared with first; one that runs out of memory says so."""
    names = usable(card.device)
    if card.cuda and len(names) > 1:
        names.remove("chunked")
    if row["what"] == "core" and card.cuda and "mamba_ssm" not in names:
        names = [*names, PORT]
    baseline = next(name for name in ("mamba_ssm", PORT, "triton", "chunked") if name in names)
    compared: float | None = None
    for backend in sorted(names, key=lambda name: name != baseline):
        key = (row["what"], row["name"], backend)
        if key in card.slow:
            continue
        found = measure(card, backend, row["what"], runs)
        seconds = found["seconds"]
        if seconds is None or seconds > SLOW:
            card.slow.add(key)
        if backend == baseline:
            compared = seconds
        ratio = compared / seconds if compared and seconds else None
        yield {**row, "backend": backend, **found, "bound": bound, "ratio": ratio}


def measure(card: Card, backend: str, what: str, runs: Callable[[str], Callable[[], Any]]) -> Row:
    """Time and peak memory of one backend; None where memory does not suffice."""
    graphed = what in ("stock", "layer") or (what != "training" and backend in GRAPHED)
    with using(backend):
        try:
            run = runs(backend)
            first, peak = card.first(run)
            seconds = card.seconds(run)
            graph = card.replayed(run) if graphed and seconds < LONG else None
            return {"seconds": seconds, "peak_bytes": peak, "graph_seconds": graph, "first_seconds": first}
        except torch.OutOfMemoryError:
            return dict.fromkeys(("seconds", "peak_bytes", "graph_seconds", "first_seconds"))


def starts(card: Card) -> Iterator[Row]:
    """A new process until it has the result of a network: with nothing kept, with what Triton keeps, and with all."""
    backend = next(each.name for each in dispatch.verdicts(card.device) if each.chosen)
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "kept")
        places = {"MAMBAIR_CACHE": str(kept), "TRITON_CACHE_DIR": str(Path(folder, "triton"))}
        for name in ("nothing kept", "kept by Triton", "all kept"):
            if name == "kept by Triton":
                shutil.rmtree(kept, ignore_errors=True)
            command = [sys.executable, "-m", "benchmarks.gpu_start", str(card.device)]
            began = time.perf_counter()
            said = subprocess.run(command, env=os.environ | places, check=False, stdout=subprocess.PIPE, text=True)
            if said.returncode:
                print("A new process fails, for the reason above; its start was not measured.", file=sys.stderr)
                return
            found = {"seconds": time.perf_counter() - began, "first_seconds": json.loads(said.stdout)["first"]}
            empty = dict.fromkeys(("graph_seconds", "bound", "ratio")) | {"peak_bytes": 0}
            imports = json.loads(said.stdout)["imports"]
            row = {"what": "start", "name": name, "size": 64, "type": "fp32", "backend": backend}
            yield {**row, **found, **empty, "import_seconds": imports}


def layers(card: Card, sizes: list[int]) -> Iterator[Row]:
    """Layers that are one kernel each, beside torch's."""
    fast = next(each.name for each in dispatch.verdicts(card.device) if each.chosen)
    for size, dtype in itertools.product(sizes, TYPES):
        for layer in gpu_layers.layers(size, card.device, TYPES[dtype]):
            compared: float | None = None
            for backend in ("chunked", fast):
                with torch.inference_mode(), autocast(card, dtype):
                    found = measure(card, backend, "layer", lambda _, layer=layer: layer)  # type: ignore[misc]
                took = found["graph_seconds"] or found["seconds"]
                compared = compared or took
                row = {"what": "layer", "name": layer.name, "size": size, "type": dtype, "backend": backend}
                ratio = compared / took if compared and took else None
                yield {**row, **found, "bound": layer.moved / card.bandwidth, "ratio": ratio}


def cores(card: Card, name: str, sizes: list[int]) -> Iterator[Row]:
    """The scan of one layer."""
    channels, d_state, rank = CORES[name]
    for size, dtype in itertools.product(sizes, TYPES):
        case = Case(name, size, *((5, 2, 1) if card.tiny else (channels, d_state, rank)))
        x, *weights = (tensor.to(card.device) for tensor in case.tensors())
        tensors = [x.to(TYPES[dtype]), *weights]
        scans = {each.name: each.scan_2d for each in dispatch.BACKENDS} | {PORT: cuda_port.scan_2d}

        def runs(backend: str, tensors: list[Tensor] = tensors, scans: Any = scans) -> Callable[[], Any]:
            return lambda: scans[backend](*tensors, CROSS_SCAN, None)

        with torch.inference_mode():
            row = {"what": "core", "name": name, "size": size, "type": dtype}
            yield from compare(card, row, card.bound(2 * tensors[0].nbytes, case.flop, "fp32"), runs)


def network_bytes(network: nn.Module, x: Tensor, scale: int, dtype: str) -> float:
    """Input, output, weights, and the features of every block read and written once."""
    blocks = sum(isinstance(module, VSSBlock) for module in network.modules())
    embed: int = network.get_submodule("conv_first").out_channels  # type: ignore[assignment]
    features = 2 * blocks * embed * (x.numel() // x.shape[1]) * TYPES[dtype].itemsize
    return features + x.nbytes * (1 + scale**2) + 4 * parameters(network)


def autocast(card: Card, dtype: str) -> Any:
    """What low precision means for a network."""
    return nullcontext() if dtype == "fp32" else torch.autocast(card.device.type, TYPES[dtype])


def networks(card: Card, name: str, sizes: list[int], types: Iterable[str] = TYPES) -> Iterator[Row]:
    """A whole network."""
    options = NETWORKS[name]
    torch.manual_seed(0)
    network = MambaIR(**(TINY if card.tiny else options)).eval().to(card.device)
    for size, dtype in itertools.product(sizes, types):
        x = torch.rand(1, 3, size, size, device=card.device)
        bound = card.bound(network_bytes(network, x, network.scale, dtype), 2 * macs(network, size, size), dtype)
        row = {"what": "network", "name": f"{name} x{network.scale}", "size": size, "type": dtype}
        with torch.inference_mode(), autocast(card, dtype):
            yield from compare(card, row, bound, lambda _, network=network, x=x: lambda: network(x))  # type: ignore[misc]


class SPANLike(nn.Module):
    """Six blocks of three 3x3 convolutions of 48 channels with SPAN's attention (arXiv 2311.12770), in stock layers."""

    def __init__(self, channels: int = 48, scale: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(self._block(channels) for _ in range(6))
        self.last = nn.Sequential(nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    @staticmethod
    def _block(channels: int) -> nn.Module:
        one, two, three = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        return nn.Sequential(one, nn.SiLU(), two, nn.SiLU(), three)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 3, h, w) to (batch, 3, 4 h, 4 w)."""
        x = self.first(image)
        for block in self.blocks:
            y = block(x)
            x = (x + y) * (y.sigmoid() - 0.5)
        out: Tensor = self.last(x)
        return out


def stock(card: Card, sizes: list[int]) -> Iterator[Row]:
    """Networks of stock layers, channels-last."""
    span = SPANLike().eval().to(device=card.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    runs = {YARDSTICK: edsr_baseline(card.device), "like SPAN x4": span}
    for (name, network), size, dtype in itertools.product(runs.items(), sizes, TYPES):
        x = torch.rand(1, 3, size, size, device=card.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), autocast(card, dtype):
            found = measure(card, "chunked", "stock", lambda _, network=network, x=x: lambda: network(x))  # type: ignore[misc]
        yield {"what": "stock", "name": name, "size": size, "type": dtype, "backend": "torch", **found}


def training(card: Card, size: int, batch: int) -> Iterator[Row]:
    """Forward, backward and Adam on patches, light x2; the bound takes the backward pass as two forward passes."""
    torch.manual_seed(0)
    network = MambaIR(**(TINY if card.tiny else {**NETWORKS["light"], "upscale": 2})).train().to(card.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-5)
    x = torch.rand(batch, 3, size, size, device=card.device)
    for dtype in TYPES:

        def step(dtype: str = dtype) -> None:
            optimiser.zero_grad()
            with autocast(card, dtype):
                loss = network(x).float().square().mean()
            loss.backward()
            optimiser.step()

        moved = 3 * network_bytes(network, x, network.scale, dtype)
        bound = card.bound(moved, 6 * batch * macs(network, size, size), dtype)
        row = {"what": "training", "name": f"light x{network.scale}, batch {batch}", "size": size, "type": dtype}
        yield from compare(card, row, bound, lambda _, step=step: step)  # type: ignore[misc]


def line(row: Row) -> str:
    """A row as text."""
    head = f"{row['what']:9}{row['name']:19}{row['size']:>5} {row['type']:5}{row['backend']:13}"
    seconds, graph = row["seconds"], row["graph_seconds"]
    if seconds is None:
        return f"{head}   out of memory"
    cells = [
        f"{row['first_seconds']:.1f}",
        f"{seconds * 1e3:.3f}",
        "" if graph is None else f"{graph * 1e3:.3f}",
        f"{row['ratio']:.2f}x" if row.get("ratio") else "",
        f"{row['bound'] / min(seconds, graph or seconds):.1%}" if row.get("bound") else "",
        f"{row['peak_bytes'] / 2**20:.0f}",
    ]
    return head + "".join(f"{cell:>10}" for cell in cells)


def main() -> int:
    """Check, measure, print, and write JSON on request; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="only 64 and 256")
    parser.add_argument("--device", default="cuda", help="cpu tests this program itself")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no row after this time")
    arguments, began = parser.parse_args(), time.perf_counter()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(NO_CARD, file=sys.stderr)
        return 1
    tiny = device.type == "cpu"
    card = Card(device, tiny)
    report: Row = {**card.describe(), "backends": [vars(each) for each in dispatch.verdicts(device)]}
    print("\n".join(f"{each['name']:13}{each['reason']}" for each in report["backends"]))
    report["checks"], report["rows"] = [], []
    for verdict in check(card):
        errors = "  ".join(f"{dtype} {error:.1e}" for dtype, error in verdict["errors"].items())
        print(f"{verdict['backend']:13}error {errors}", flush=True)
        record(report, "checks", verdict, arguments.json)
    if not all(verdict["passed"] for verdict in report["checks"]):
        print("A backend is wrong beyond rounding; nothing was measured.", file=sys.stderr)
        return 1
    print(HEAD)
    for row in tables(card, arguments.quick):
        print(line(row), flush=True)
        record(report, "rows", row, arguments.json)
        if time.perf_counter() - began > arguments.seconds:
            print(
                f"{arguments.seconds:g} s have passed; the rows that would follow were not measured.", file=sys.stderr
            )
            break
    return 0


def tables(card: Card, quick: bool) -> Iterator[Row]:
    """All rows in the order of worth."""
    if card.tiny:
        small, medium, large, rest = [3], [3], [], []
    else:
        small, medium, large, rest = [64], [256], [1024], [128, 512]
    if quick:
        large, rest = [], []
    yield from starts(card)
    yield from networks(card, "light", small + medium)
    yield from cores(card, "light", medium + small)
    yield from layers(card, medium)
    yield from training(card, *((3, 1) if card.tiny else (64, 8)))
    yield from networks(card, "classic", small + medium)
    yield from cores(card, "classic", medium)
    yield from networks(card, "light", large)
    yield from networks(card, "light", [2 * size for size in large], ["bf16"])
    yield from stock(card, medium + small)
    yield from networks(card, "classic", large, ["bf16"])
    yield from cores(card, "light", large)
    yield from cores(card, "classic", small + large)
    for name in CORES:
        yield from cores(card, name, rest)
        yield from networks(card, name, rest)


def record(report: Row, table: str, row: Row, file: Path | None) -> None:
    """Adds a row to the report and writes all of it, so that a run that is cut off leaves what it has."""
    report[table].append(row)
    if file:
        file.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
