"""What a run learns from: batches of patches, made on the device where the crops are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mambair_archs import identify
from mambair_archs.network import Network
from mambair_archs.registry import get

from . import harm
from .samples import EDGE, Crops, Draw, Reduce, flat, taught

AT_ONCE, AT_ONCE_ON_A_PROCESSOR = 128, 32  # patches that are made poor at a time
POOL = 2048  # patches that wait there to be drawn
DRAWS = 2  # of a patch that a processor made poor, which costs it a fifteenth of a step
FLAT = 32  # one patch in so many is flat

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
    arch: str = "MambaIRNano"
    start: str | None = None
    teacher: str | None = None
    batch: int = 32
    patch: int = 64

    def build(self) -> Network:
        """The network, with weights of its initialisation."""
        return get(self.arch).network(**self.options)

    @property
    def scale(self) -> int:
        """Output size over input size."""
        return int(self.options.get("upscale", 1))


def network(file: Path) -> nn.Module:
    """The network of a file, computing in 32 bits."""
    state = torch.load(file, weights_only=True)
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.get("params", state).items()}
    net = identify(state).build()
    net.load_state_dict(state)
    return net.eval()


def replace_file(content: Any, path: Path) -> None:
    """Save tensors, all or nothing."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


class Upscaling:
    """Patches reduced by MATLAB's rule, a few of them harmed, one of flat colours; half of the truth is a teacher's."""

    def __init__(self, run: Run, crops: Crops, count: int, teacher: Path | None, kept: Path) -> None:
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
        self.pages = max(1, count // FLAT)
        self.draw = Draw(crops.weights, count, run.patch, EDGE // run.scale)

    def _taught(self, teacher: Path, kept: Path) -> Tensor:
        if not kept.is_file():
            made = taught(network(teacher).to(self.device), self.low, self.scale, at_once=4 * self.scale)
            if self.device.type == "cuda":
                return made
            replace_file(made, kept)
        found: Tensor = torch.load(kept, weights_only=True, mmap=True)
        return found

    def batch(self) -> Batch:
        """See :data:`Batch`."""
        self.draw.again()
        low, high, taught = self.draw.cut(self.low), *(self.draw.cut(c, self.scale) for c in (self.high, self.taught))
        pages = flat(self.pages, (self.patch + 8) * self.scale, self.device)
        margin = 4 * self.scale
        low[-self.pages :] = self.reduce(pages)[:, :, 4:-4, 4:-4]
        high[-self.pages :] = taught[-self.pages :] = pages[:, :, margin:-margin, margin:-margin]
        kind = harm.uniform(low)
        noisy = harm.stored(harm.white_noise(low, harm.uniform(low, 0, 10), harm.uniform(low), 0.1))
        low = torch.where(kind < 0.05, noisy, torch.where(kind > 0.95, self.jpeg.draw(low, 50, 98), low))
        return low / 255, high / 255, taught / 255


class Photographs:
    """Patches made poor as pictures of phones and of the web are; the truth is a little sharpened."""

    MARGIN = 8

    def __init__(self, run: Run, crops: Crops, count: int) -> None:
        self.scale, self.high, self.jpeg = run.scale, crops.high, harm.Jpeg(crops.high.device)
        self.draw = Draw(crops.weights, count, (run.patch + 2 * self.MARGIN) * run.scale, EDGE)

    def batch(self) -> Batch:
        """See :data:`Batch`."""
        self.draw.again()
        high = self.draw.cut(self.high)
        m = self.MARGIN
        low = harm.second_order(self.jpeg, high, self.scale)[:, :, m:-m, m:-m] / 255
        m *= self.scale
        truth = harm.sharpened(high).round()[:, :, m:-m, m:-m] / 255
        return low, truth, truth


def _lesson(poor: Tensor, truth: Tensor) -> Batch:
    """A batch of pictures in levels, which nobody teaches but the truth."""
    poor, truth = poor / 255, truth / 255
    return poor, truth, truth


def _parts(image: Tensor, shares: Sequence[float]) -> list[Tensor]:
    """The pictures of a batch in groups of these shares of it, and what is left."""
    ends = [round(len(image) * sum(shares[: i + 1])) for i in range(len(shares))]
    return list(image.tensor_split(ends))


class Denoising:
    """White noise as in the papers, grain that grows with brightness, that of cameras, both as JPEG; some clean."""

    WHITE, GRAIN, CAMERA, GRAIN_JPEG, CAMERA_JPEG = 0.48, 0.14, 0.1, 0.08, 0.16

    def __init__(self, run: Run, crops: Crops, count: int) -> None:
        self.high, self.jpeg = crops.high, harm.Jpeg(crops.high.device)
        self.draw = Draw(crops.weights, count, run.patch, EDGE)

    def batch(self) -> Batch:
        """See :data:`Batch`."""
        self.draw.again()
        clean = harm.gray(self.draw.cut(self.high), 0.12)
        shares = (self.WHITE, self.GRAIN + self.GRAIN_JPEG, self.CAMERA + self.CAMERA_JPEG)
        white, bright, camera, untouched = _parts(clean, shares)
        grainy = harm.stored(harm.white_noise(bright, self._sigma(bright), harm.uniform(bright), 0.2))
        grainy, grainy_jpeg = _parts(grainy, [self.GRAIN / (self.GRAIN + self.GRAIN_JPEG)])
        taken = harm.stored(harm.camera_noise(camera))
        taken, taken_jpeg = _parts(taken, [self.CAMERA / (self.CAMERA + self.CAMERA_JPEG)])
        made = [
            harm.white_noise(white, self._sigma(white)),
            grainy,
            self.jpeg.draw(grainy_jpeg, 50, 98),
            taken,
            self.jpeg.draw(taken_jpeg, 50, 98),
            untouched,
        ]
        return _lesson(torch.cat(made), clean)

    @staticmethod
    def _sigma(image: Tensor) -> Tensor:
        return harm.uniform(image, 0, 55)


class Repairing:
    """JPEG of any quality whose blocks start anywhere, some of it twice; some pictures are untouched."""

    MARGIN = 16
    ONCE, TWICE = 0.85, 0.11

    def __init__(self, run: Run, crops: Crops, count: int) -> None:
        self.high, self.jpeg = crops.high, harm.Jpeg(crops.high.device)
        self.patch = run.patch
        self.draw = Draw(crops.weights, count, run.patch + self.MARGIN, EDGE)

    def _moved(self, image: Tensor, corner: Tensor) -> Tensor:
        line = torch.arange(self.patch, device=image.device)
        number = torch.arange(len(image), device=image.device).view(-1, 1, 1)
        rows, columns = corner[0] + line.view(1, -1, 1), corner[1] + line.view(1, 1, -1)
        return image[number, :, rows, columns].permute(0, 3, 1, 2)

    def batch(self) -> Batch:
        """See :data:`Batch`."""
        self.draw.again()
        clean = harm.gray(self.draw.cut(self.high), 0.3)
        once, twice, untouched = _parts(clean, (self.ONCE, self.TWICE))
        earlier = torch.roll(self.jpeg.draw(torch.roll(twice, (5, 3), (2, 3)), 30, 95), (-5, -3), (2, 3))
        poor = torch.cat([self.jpeg.draw(once, 5, 95), self.jpeg.draw(earlier, 10, 95), untouched])
        corner = (torch.rand(2, len(clean), 1, 1, device=clean.device) * self.MARGIN).long()
        return _lesson(self._moved(poor, corner), self._moved(clean, corner))


class Source(Protocol):
    """What makes batches."""

    def batch(self) -> Batch:
        """See :data:`Batch`."""


class Pool:
    """Patches of a source, made many at a time and drawn singly: small operations on a card cost the same for many.

    Each of the ``size`` that are kept is drawn ``draws`` times on average. What they are made by is recorded as a CUDA
    graph where the source lets it.
    """

    def __init__(self, source: Source, batch: int, *, recorded: bool, size: int = POOL, draws: int = 1) -> None:
        self.source, self.count, self.size, self.draws = source, batch, size, draws
        made = source.batch()
        self.device, self.at_once = made[0].device, len(made[0])
        self.kept = [torch.zeros(size, *part.shape[1:], device=self.device) for part in made]
        self.place = torch.zeros((), dtype=torch.int64, device=self.device)
        self.line = torch.arange(self.at_once, device=self.device)
        self.make = record(self._make) if recorded else self._make
        for _ in range(size // self.at_once):
            self.make()
        self.drawn = 0

    def _make(self) -> None:
        for kept, part in zip(self.kept, self.source.batch(), strict=True):
            kept.index_copy_(0, (self.place + self.line) % self.size, part)
        self.place += self.at_once

    def prepare(self) -> None:
        """Make new patches when enough have been drawn."""
        self.drawn += self.count
        if self.drawn >= self.at_once * self.draws:
            self.drawn -= self.at_once * self.draws
            self.make()

    def batch(self) -> Batch:
        """See :data:`Batch`."""
        number = (torch.rand(self.count, device=self.device) * self.size).long().clamp(max=self.size - 1)
        low, high, taught = (kept[number] for kept in self.kept)
        return low, high, taught


def record(work: Callable[[], None]) -> Callable[[], None]:
    """``work`` as a CUDA graph; it is done a few times on the way."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def make_source(run: Run, crops: Crops, teacher: Path | None, kept: Path) -> Source:
    """What makes batches for a task; on a processor, what a teacher makes of reduced crops is kept in a file."""
    restoring = run.task in ("denoise", "dejpeg")
    count = AT_ONCE if crops.high.is_cuda else AT_ONCE_ON_A_PROCESSOR if restoring else run.batch
    made: Source
    match run.task:
        case "upscale":
            made = Upscaling(run, crops, count, teacher, kept)
        case "photo":
            made = Photographs(run, crops, count)
        case "denoise":
            made = Denoising(run, crops, count)
        case _:
            made = Repairing(run, crops, count)
    if crops.high.is_cuda:
        return Pool(made, run.batch, recorded=run.task != "photo")
    if run.task == "upscale":
        return made
    return Pool(made, run.batch, recorded=False, size=32 * run.batch, draws=DRAWS)
