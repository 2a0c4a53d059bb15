"""One run: batches made on the device, a schedule over the seconds that it may take.

On a card the whole step is one CUDA graph. On a processor a run keeps its state and goes on from it.
"""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_archs import MambaIRNano, MambaIRNanoUNet
from mambair_archs.mambair_nano import Convolution, ReducedScan, ResidualBlock
from mambair_archs.mambair_nano_unet import NormedBlock
from mambair_archs.network import Network

from .samples import Crops
from .sources import Batch, Pool, Run, make_source, record, replace_file

WARMUP, SQUARES_FROM, CLIP, DECAY = 0.03, 0.85, 0.3, 0.999
PRECISE_FROM = 0.93  # share of the time from which a processor computes in 32 bits
KEEP_EVERY = 300  # seconds
TO_SYNCHRONISE = 8  # steps

StateDict = dict[str, Tensor]


def forward(net: Network, x: Tensor) -> Tensor:
    """What ``net`` computes; small networks by torch's convolutions on NCHW tensors, which train faster than their own.

    The sides of ``x`` are multiples of what the network needs.
    """
    if isinstance(net, MambaIRNano):
        return _plain(net, x)
    if isinstance(net, MambaIRNanoUNet):
        return _u_shaped(net, x)
    made: Tensor = net(x)
    return made


def _convolve(layer: nn.Conv2d, value: Tensor) -> Tensor:
    return F.conv2d(value, layer.weight, layer.bias, layer.stride, layer.padding)


def _apply(block: nn.Module, features: Tensor) -> Tensor:
    """A block of either network on NCHW features."""
    if isinstance(block, ReducedScan):
        made: Tensor = block(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return made
    assert isinstance(block, (ResidualBlock, NormedBlock))
    given = features
    if isinstance(block, NormedBlock):
        given = block.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return features + _convolve(block.conv2, F.silu(_convolve(block.conv1, given)))


def _gathered(x: Tensor, factor: int) -> Tensor:
    return F.pixel_unshuffle(x, factor).contiguous(memory_format=torch.channels_last)


def _plain(net: MambaIRNano, x: Tensor) -> Tensor:
    x = _gathered(x, net.config.unshuffle)
    features = shallow = _convolve(net.conv_first, x)
    for block in net.body:
        features = _apply(block, features)
    features = shallow + _convolve(net.conv_body, features)
    pixels = _convolve(net.upsample, features) + x.repeat_interleave(net.scale**2, 1)
    return F.pixel_shuffle(pixels, net.scale * net.config.unshuffle)


def _u_shaped(net: MambaIRNanoUNet, x: Tensor) -> Tensor:
    x = _gathered(x, net.config.unshuffle)
    features, skips = _convolve(net.conv_first, x), []
    for encoder, down, _, _ in net.finer():
        for block in encoder:
            features = _apply(block, features)
        skips.append(features)
        features = _convolve(down, features)
    for block in net.coarsest():
        features = _apply(block, features)
    for _, _, up, decoder in reversed(net.finer()):
        features = skips.pop() + F.pixel_shuffle(_convolve(up, features), 2)
        for block in decoder:
            features = _apply(block, features)
    return F.pixel_shuffle(_convolve(net.conv_last, features) + x, net.config.unshuffle)


def started(net: Network, given: StateDict | None) -> int:
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


def rounded(net: Network) -> Network:
    """A copy whose 3x3 convolutions have weights of 16 bits, which autocast would make anew for each use."""
    copied = copy.deepcopy(net)
    for module in copied.modules():
        if isinstance(module, Convolution):
            module.bfloat16()
    return copied


def copy_all(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy values of one type at a time, which takes one operation on a card for each pair of types."""
    pairs: dict[tuple[torch.dtype, torch.dtype], list[tuple[Tensor, Tensor]]] = {}
    for target, value in zip(targets, values, strict=True):
        pairs.setdefault((target.dtype, value.dtype), []).append((target, value))
    for alike in pairs.values():
        torch._foreach_copy_([target for target, _ in alike], [value for _, value in alike])


class Step:
    """A training step on a batch that it draws itself, in one CUDA graph where there is a card."""

    def __init__(
        self,
        net: Network,
        draw: Callable[[], Batch],
        squares: Callable[[Tensor, Tensor], Tensor],
        compiled: bool = False,
    ) -> None:
        self.net, self.draw, self.squares = net, draw, squares
        self.forward = torch.compile(forward) if compiled else forward
        self.parameters = list(net.parameters())
        self.values = [value.detach() for value in self.parameters]
        self.average = [value.clone() for value in self.values]
        device = self.parameters[0].device
        self.cuda = device.type == "cuda"
        self.lr, self.decay, self.by_squares, self.loss = (torch.zeros((), device=device) for _ in range(4))
        self.precise = False
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=self.lr, betas=(0.9, 0.99), capturable=self.cuda, fused=True
        )
        self.gradients = [torch.zeros_like(value) for value in self.parameters]
        for value, gradient in zip(self.parameters, self.gradients, strict=True):
            value.grad = gradient
        self.computing = rounded(net) if self.cuda else net
        self.run = record(self._run) if self.cuda else self._run

    def __call__(self) -> None:
        """Once."""
        self.run()

    def _run(self) -> None:
        x, y, t = self.draw()
        used = list(self.computing.parameters())
        if self.computing is not self.net:
            copy_all([value.data for value in used], self.values)
        computed = forward if self.precise else self.forward
        with torch.autocast(x.device.type, torch.bfloat16, enabled=not self.precise, cache_enabled=False):
            made = computed(self.computing, x)
        made = made.float()
        absolute = ((made - y).abs().mean() + (made - t).abs().mean()) / 2
        loss = absolute * (1 - self.by_squares) + (self.squares(made, y) + self.squares(made, t)) / 2 * self.by_squares
        copy_all(self.gradients, torch.autograd.grad(loss, used))
        nn.utils.clip_grad_norm_(self.parameters, CLIP, foreach=True)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(self.average, self.decay)
            torch._foreach_add_(self.average, torch._foreach_mul(self.values, 1 - self.decay))
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


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How a run goes: for how long (of the processor's time on a processor), from which tensors, with which files."""

    seconds: float
    lr: float
    folder: Path
    start: StateDict | None = None
    teacher: Path | None = None
    taught: Path | None = None
    """Where a processor keeps what the teacher makes; else in the folder, under the name of the run."""
    compiled: bool = False
    """Let a processor compile what is computed in 16 bits."""
    seed: int = 0
    """Of what is drawn, not of the first weights. Steps are added to it: those of replicas are far apart."""
    profile: bool = False
    report: Callable[[StateDict, int], None] | None = None
    """Called with the averaged weights and the number of steps whenever the state is kept."""


def train(run: Run, crops: Crops, trial: Trial) -> tuple[StateDict, dict[str, Any]]:
    """Train for the seconds of the trial, begun ones included: the averaged weights, and what to report."""
    began = time.monotonic()
    device = crops.high.device
    torch.manual_seed(1)
    net = run.build()
    torch.manual_seed(1 + trial.seed)
    fitted = started(net, trial.start)
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    source = make_source(run, crops, trial.teacher, trial.taught or trial.folder / f"{run.name}.taught")
    prepared = time.monotonic()
    step = Step(net, source.batch, mean_square if run.scale > 1 else mean_psnr, trial.compiled)
    if trial.profile:
        _profile(step)
    count, before, file = 0, 0.0, trial.folder / f"{run.name}.state"
    if file.is_file():
        found = torch.load(file, weights_only=True)
        step.go_on(found)
        count, before = found["count"], found["seconds"]
        torch.manual_seed(count + trial.seed)
    clock = time.monotonic if step.cuda else time.process_time
    started_at = kept_at = clock()
    total = trial.seconds - (started_at - began) if step.cuda else trial.seconds
    curve: list[tuple[int, float]] = []

    def keep() -> None:
        replace_file(step.kept() | {"count": count, "seconds": before + clock() - started_at}, file)

    while total > 0 and (share := (before + clock() - started_at) / total) < 1:
        step.lr.fill_(trial.lr * min(1, share / WARMUP) * (0.4995 * (1 + math.cos(math.pi * share)) + 0.001))
        step.decay.fill_(min(DECAY, 1 - 1 / (1 + count / 10)))
        step.by_squares.fill_(float(share > SQUARES_FROM))
        step.precise = not step.cuda and share > PRECISE_FROM
        for _ in range(TO_SYNCHRONISE if step.cuda else 1):
            if isinstance(source, Pool):
                source.prepare()
            step()
            count += 1
        loss = float(step.loss)  # waits for the card
        if len(curve) < int(10 * share) + 1:
            curve.append((count, round(loss, 5)))
        if not step.cuda and clock() - kept_at > KEEP_EVERY:
            kept_at = clock()
            keep()
            if trial.report:
                trial.report(step.averaged(), count)
    seconds = clock() - started_at
    if not step.cuda:
        keep()
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
