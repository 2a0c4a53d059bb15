"""One run: batches made on the device, a schedule over the seconds that it may take.

On a card the whole step is one CUDA graph. On a processor a run keeps its state and goes on from it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_archs import MambaIRNano, identify
from mambair_archs.mambair_nano import ReducedScan

from . import harm
from .samples import EDGE, Crops, Draw, Reduce, flat, taught

WARMUP, SQUARES_FROM, CLIP, DECAY = 0.03, 0.85, 0.3, 0.999
PRECISE_FROM = 0.93  # share of the time from which a processor computes in 32 bits
KEEP_EVERY = 300  # seconds
TO_SYNCHRONISE = 8  # steps
POOL = 2048  # patches that were made poor one batch at a time, and are drawn singly

StateDict = dict[str, Tensor]
Batch = tuple[Tensor, Tensor, Tensor]
"""Inputs, ground truths and a teacher's outputs (or the truths again), from 0 to 1."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What to train: ``task`` is upscale, photo, denoise or dejpeg; ``share`` is of the time.

    A step sees ``batch`` pictures, with inputs of ``patch`` pixels a side.
    """

    name: str
    task: str
    share: float
    options: dict[str, Any]
    start: str | None = None
    teacher: str | None = None
    batch: int = 32
    patch: int = 64

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return int(self.options["upscale"])


def network(file: Path) -> nn.Module:
    """The network of a file, computing in 32 bits."""
    state = torch.load(file, weights_only=True)
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.get("params", state).items()}
    net = identify(state).build()
    net.load_state_dict(state)
    return net.eval()


class Upscaling:
    """Patches reduced by MATLAB's rule, a few of them harmed, one of flat colours; half of the truth is a teacher's."""

    def __init__(self, run: Run, crops: Crops, teacher: Path | None, kept: Path) -> None:
        self.scale, self.device = run.scale, crops.high.device
        self.high, self.low = crops.high, crops.reduced(run.scale)
        self.reduce, self.jpeg = Reduce(run.scale, self.device), harm.Jpeg(self.device)
        self.taught = self.high
        if teacher:
            try:
                self.taught = self._taught(teacher, kept)
            except Exception as error:  # the truth alone teaches as well, a little less
                print(f"no teacher for {run.name}: {error!r}"[:2000], flush=True)
        self.patch = run.patch
        self.draw = Draw(crops.weights, run.batch, run.patch, EDGE // run.scale)

    def _taught(self, teacher: Path, kept: Path) -> Tensor:
        if not kept.is_file():
            made = taught(network(teacher).to(self.device), self.low, self.scale, at_once=4 * self.scale)
            if self.device.type == "cuda":
                return made
            _replace(made, kept)
        found: Tensor = torch.load(kept, weights_only=True, mmap=True)
        return found

    def prepare(self) -> None:
        """Nothing has to be made outside the graph."""

    def batch(self) -> Batch:
        """See :data:`Batch`."""
        self.draw.again()
        low, high, taught = self.draw.cut(self.low), *(self.draw.cut(c, self.scale) for c in (self.high, self.taught))
        page = flat(1, (self.patch + 8) * self.scale, self.device)
        margin = 4 * self.scale
        low[-1:] = self.reduce(page)[:, :, 4:-4, 4:-4]
        high[-1:] = taught[-1:] = page[:, :, margin:-margin, margin:-margin]
        kind = harm.uniform(low)
        noisy = harm.stored(harm.white_noise(low, harm.uniform(low, 0, 10), harm.uniform(low), 0.1))
        low = torch.where(kind < 0.05, noisy, torch.where(kind > 0.95, self.jpeg.draw(low, 50, 98), low))
        return low / 255, high / 255, taught / 255


class Photographs:
    """Patches made poor as pictures of phones and of the web are, from a pool; the truth is a little sharpened."""

    def __init__(self, run: Run, crops: Crops) -> None:
        self.scale, self.high, self.jpeg = run.scale, crops.high, harm.Jpeg(crops.high.device)
        self.margin, self.batch_size, patch = 8, run.batch, run.patch
        self.draw = Draw(crops.weights, run.batch, (patch + 2 * self.margin) * run.scale, EDGE)
        self.low = torch.zeros(POOL, 3, patch, patch, dtype=torch.uint8, device=self.high.device)
        self.truth = torch.zeros(
            POOL, 3, patch * run.scale, patch * run.scale, dtype=torch.uint8, device=self.high.device
        )
        self.next = 0
        for _ in range(POOL // run.batch if self.high.is_cuda else 1):
            self.prepare()

    def prepare(self) -> None:
        """Put one batch into the pool."""
        self.draw.again()
        high = self.draw.cut(self.high)
        low = harm.second_order(self.jpeg, high, self.scale)
        m, place = self.margin, slice(self.next, self.next + self.batch_size)
        self.low[place] = low[:, :, m:-m, m:-m].byte()
        m *= self.scale
        self.truth[place] = harm.sharpened(high).round()[:, :, m:-m, m:-m].byte()
        self.next = (self.next + self.batch_size) % POOL

    def batch(self) -> Batch:
        """See :data:`Batch`."""
        number = (torch.rand(self.batch_size, device=self.low.device) * POOL).long().clamp(max=POOL - 1)
        low, truth = self.low[number].float() / 255, self.truth[number].float() / 255
        return low, truth, truth


class Denoising:
    """White noise as in the papers, grain of cameras, clipped and compressed noise; some pictures are clean."""

    def __init__(self, run: Run, crops: Crops) -> None:
        self.high, self.jpeg = crops.high, harm.Jpeg(crops.high.device)
        self.draw = Draw(crops.weights, run.batch, run.patch, EDGE)

    def prepare(self) -> None:
        """Nothing has to be made outside the graph."""

    def batch(self) -> Batch:
        """See :data:`Batch`."""
        self.draw.again()
        clean = harm.gray(self.draw.cut(self.high), 0.12)
        sigma = harm.uniform(clean, 0, 55)
        grain = harm.stored(harm.white_noise(clean, sigma, harm.uniform(clean), 0.2))
        camera = harm.stored(harm.camera_noise(clean))
        stored = torch.where(harm.chance(clean, 0.5), grain, camera)
        stored = torch.where(harm.chance(clean, 0.4), self.jpeg.draw(stored, 50, 98), stored)
        kind = harm.uniform(clean)
        poor = torch.where(kind < 0.5, harm.white_noise(clean, sigma), torch.where(kind < 0.65, grain, stored))
        poor = torch.where(kind > 0.96, clean, poor)
        return poor / 255, clean / 255, clean / 255


class Repairing:
    """JPEG of any quality whose blocks start anywhere, some of it twice; some pictures are untouched."""

    MARGIN = 16

    def __init__(self, run: Run, crops: Crops) -> None:
        self.high, self.jpeg = crops.high, harm.Jpeg(crops.high.device)
        self.patch = run.patch
        self.draw = Draw(crops.weights, run.batch, run.patch + self.MARGIN, EDGE)

    def prepare(self) -> None:
        """Nothing has to be made outside the graph."""

    def _moved(self, image: Tensor, corner: Tensor) -> Tensor:
        line = torch.arange(self.patch, device=image.device)
        number = torch.arange(len(image), device=image.device).view(-1, 1, 1)
        rows, columns = corner[0] + line.view(1, -1, 1), corner[1] + line.view(1, 1, -1)
        return image[number, :, rows, columns].permute(0, 3, 1, 2)

    def batch(self) -> Batch:
        """See :data:`Batch`."""
        self.draw.again()
        clean = harm.gray(self.draw.cut(self.high), 0.3)
        once = self.jpeg.draw(clean, 5, 95)
        twice = self.jpeg.draw(
            torch.roll(self.jpeg.draw(torch.roll(clean, (5, 3), (2, 3)), 30, 95), (-5, -3), (2, 3)), 10, 95
        )
        kind = harm.uniform(clean)
        poor = torch.where(kind < 0.85, once, torch.where(kind < 0.96, twice, clean))
        corner = (torch.rand(2, len(clean), 1, 1, device=clean.device) * self.MARGIN).long()
        clean, poor = self._moved(clean, corner), self._moved(poor, corner)
        return poor / 255, clean / 255, clean / 255


def forward(net: MambaIRNano, x: Tensor) -> Tensor:
    """What ``net`` computes, by torch's convolutions on NCHW tensors, which train faster than its own.

    The sides of ``x`` are multiples of what the network needs.
    """

    def convolve(layer: nn.Module, value: Tensor) -> Tensor:
        return F.conv2d(value, layer.weight, layer.bias, padding=1)  # type: ignore[arg-type]

    gathered = net.config.unshuffle
    x = F.pixel_unshuffle(x, gathered).contiguous(memory_format=torch.channels_last)
    features = shallow = convolve(net.conv_first, x)
    for block in net.body:
        if isinstance(block, ReducedScan):
            features = block(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        else:
            inner = F.silu(convolve(block.conv1, features))  # type: ignore[arg-type]
            features = features + convolve(block.conv2, inner)  # type: ignore[arg-type]
    features = shallow + convolve(net.conv_body, features)
    pixels = convolve(net.upsample, features) + x.repeat_interleave(net.scale**2, 1)
    return F.pixel_shuffle(pixels, net.scale * gathered)


def started(net: MambaIRNano, given: StateDict | None) -> int:
    """Take over the tensors that fit or are smaller, so that the network still computes the same; return their number.

    What a wider network has more of counts for nothing in what it had before, and blocks that it has more of add
    nothing, until they are trained: the idea of Net2Net (arXiv 1511.05641).
    """
    own, taken = net.state_dict(), 0
    for name, value in own.items():
        if name.endswith("conv2.weight") and given and name not in given:
            value.zero_()
            own[name.replace("weight", "bias")].zero_()
        smaller = (given or {}).get(name)
        if (
            smaller is None
            or smaller.dim() != value.dim()
            or any(a > b for a, b in zip(smaller.shape, value.shape, strict=True))
        ):
            continue
        if value.dim() == 4:
            value[: len(smaller)] = 0
        value[tuple(slice(edge) for edge in smaller.shape)] = smaller.float()
        taken += 1
    net.load_state_dict(own)
    return taken


class Step:
    """A training step on a batch that it makes itself, in one CUDA graph where there is a card."""

    def __init__(
        self, net: MambaIRNano, make: Callable[[], Batch], squares: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        self.net, self.make, self.squares = net, make, squares
        self.parameters = list(net.parameters())
        self.average = [value.detach().clone() for value in self.parameters]
        device = self.parameters[0].device
        self.cuda = device.type == "cuda"
        self.lr, self.decay, self.by_squares, self.loss = (torch.zeros((), device=device) for _ in range(4))
        self.precise = False
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=self.lr, betas=(0.9, 0.99), capturable=self.cuda, foreach=self.cuda, fused=not self.cuda
        )
        for value in self.parameters:
            value.grad = torch.zeros_like(value)
        self.graph: torch.cuda.CUDAGraph | None = None
        if self.cuda:
            self._capture()

    def _capture(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._run()
        self.graph = graph

    def __call__(self) -> None:
        """Once."""
        if self.graph:
            self.graph.replay()
        else:
            self._run()

    def _run(self) -> None:
        with torch.no_grad():
            x, y, t = self.make()
        self.optimizer.zero_grad(set_to_none=False)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=not self.precise, cache_enabled=False):
            made = forward(self.net, x)
        made = made.float()
        absolute = ((made - y).abs().mean() + (made - t).abs().mean()) / 2
        loss = absolute * (1 - self.by_squares) + (self.squares(made, y) + self.squares(made, t)) / 2 * self.by_squares
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP, foreach=self.cuda)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(self.average, self.decay)
            torch._foreach_add_(self.average, torch._foreach_mul([v.detach() for v in self.parameters], 1 - self.decay))
        self.loss.copy_(loss.detach())

    def averaged(self) -> StateDict:
        """The mean of the weights of the last steps."""
        named = zip((name for name, _ in self.net.named_parameters()), self.average, strict=True)
        return {k: v.detach().cpu().contiguous() for k, v in (self.net.state_dict() | dict(named)).items()}

    def kept(self) -> dict[str, Any]:
        """All that another process needs to go on."""
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "average": self.average}

    def go_on(self, kept: dict[str, Any]) -> None:
        """From what :meth:`kept` gave."""
        self.net.load_state_dict(kept["net"])
        self.optimizer.load_state_dict(kept["optimizer"])
        torch._foreach_copy_(self.average, kept["average"])
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr


def mean_square(made: Tensor, truth: Tensor) -> Tensor:
    """Of all values, on the scale of absolute differences."""
    return 20 * (made - truth).square().mean()


def mean_psnr(made: Tensor, truth: Tensor) -> Tensor:
    """Minus the mean PSNR of the pictures, so that none weighs more because its noise is strong."""
    return ((made - truth).square().mean((1, 2, 3)) + 1e-5).log().mean() / 100


def samples(run: Run, crops: Crops, teacher: Path | None, kept: Path) -> Any:
    """What makes batches for a task; what a teacher makes of the crops is kept in a file."""
    if run.task == "upscale":
        return Upscaling(run, crops, teacher, kept)
    return {"photo": Photographs, "denoise": Denoising, "dejpeg": Repairing}[run.task](run, crops)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a run goes: for how long (of the processor's time on a processor), from which tensors, with which files."""

    seconds: float
    lr: float
    folder: Path
    start: StateDict | None = None
    teacher: Path | None = None
    profile: bool = False
    report: Callable[[StateDict, int], None] | None = None
    """Called with the averaged weights and the number of steps whenever the state is kept."""


def train(run: Run, crops: Crops, trial: Trial) -> tuple[StateDict, dict[str, Any]]:
    """Train for the seconds of the trial, begun ones included: the averaged weights, and what to report."""
    began = time.monotonic()
    device = crops.high.device
    torch.manual_seed(1)
    net = MambaIRNano(**run.options)
    fitted = started(net, trial.start)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = samples(run, crops, trial.teacher, trial.folder / f"{run.name}.taught")
    prepared = time.monotonic()
    step = Step(net, source.batch, mean_square if run.scale > 1 else mean_psnr)
    if trial.profile:
        _profile(step)
    count, before, file = 0, 0.0, trial.folder / f"{run.name}.state"
    if file.is_file():
        found = torch.load(file, weights_only=True)
        step.go_on(found)
        count, before = found["count"], found["seconds"]
        torch.manual_seed(count)
    clock = time.monotonic if step.cuda else time.process_time
    started_at = kept_at = clock()
    total = trial.seconds - (started_at - began) if step.cuda else trial.seconds
    curve: list[tuple[int, float]] = []
    while total > 0 and (share := (before + clock() - started_at) / total) < 1:
        step.lr.fill_(trial.lr * min(1, share / WARMUP) * (0.4995 * (1 + math.cos(math.pi * share)) + 0.001))
        step.decay.fill_(min(DECAY, 1 - 1 / (1 + count / 10)))
        step.by_squares.fill_(float(share > SQUARES_FROM))
        step.precise = not step.cuda and share > PRECISE_FROM
        for _ in range(TO_SYNCHRONISE if step.cuda else 1):
            source.prepare()
            step()
            count += 1
        loss = float(step.loss)  # waits for the card
        if len(curve) < int(10 * share) + 1:
            curve.append((count, round(loss, 5)))
        if not step.cuda and clock() - kept_at > KEEP_EVERY:
            kept_at = clock()
            _replace(step.kept() | {"count": count, "seconds": before + kept_at - started_at}, file)
            if trial.report:
                trial.report(step.averaged(), count)
    seconds = clock() - started_at
    report = {
        "name": run.name,
        "steps": count,
        "steps_per_second": round(count / (before + seconds), 1),
        "seconds": round(before + seconds, 1),
        "taught_s": round(prepared - began, 1),
        "captured_s": round(started_at - prepared, 1) if step.cuda else 0.0,
        "tensors_taken": fitted,
        "curve": curve,
    }
    return step.averaged(), report


def _replace(content: Any, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def _profile(step: Step) -> None:
    """Print what takes most of the time of a few steps that change nothing."""
    with torch.profiler.profile() as found:
        for _ in range(4):
            step()
        float(step.loss)
    averages = found.key_averages()
    time_of = "self_device_time_total" if step.cuda else "self_cpu_time_total"
    rows = sorted(averages, key=lambda row: -float(getattr(row, time_of)))
    total = sum(float(getattr(row, time_of)) for row in rows)
    print(f"a step: {total / 4000:.2f} ms in {sum(row.count for row in rows) // 4} calls", flush=True)
    for row in rows[:24]:
        print(f"{float(getattr(row, time_of)) / 4000:8.3f} ms {row.count / 4:6.1f} x {row.key[:90]}", flush=True)
