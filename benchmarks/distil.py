"""Trains the small networks for enlarging on a processor, half of the loss against a large network's output.

python -m benchmarks.distil crops PHOTOS WORK
python -m benchmarks.distil teach WORK --scale 4 --teacher T_PMambaSR_x4.pth
python -m benchmarks.distil train WORK --scale 4 --minutes 130 [--start OTHER.pth] [--test Set5 Set14] -o x4.pth

``crops`` cuts squares with much detail out of photos. ``teach`` reduces them by MATLAB's rule and has the teacher
enlarge them, once; it can be stopped and goes on. ``train`` takes what is there so far: patches turned and mirrored, a
tenth of them with noise or JPEG on its input, some of flat colours with hard edges; Adam, warm-up and a cosine to the
end of the time, absolute differences and at last mean squares; averaged weights. It keeps its state every five minutes
and goes on from it.
"""

import argparse
import io
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from mambair_archs import MambaIRNano
from mambair_archs.mambair_nano import ReducedScan
from mambair_cli import load_model
from mambair_cli.data.resize import imresize
from mambair_cli.files import atomic
from mambair_cli.metrics.psnr import psnr

Bytes = NDArray[np.uint8]

EDGE, PER_PHOTO, TRIES = 384, 6, 80  # of crops, in pixels of the photo
PATCH, BATCH = 32, 8  # of input
WARMUP, MSE_FROM, CLIP, DECAY = 300, 0.85, 0.3, 0.999
HARMED, FLAT = 0.1, 0.05  # shares of patches
SAVE_EVERY = 300  # seconds


def crops(photos: Path, work: Path) -> None:
    """Squares of each photo, those with most detail, as (count, EDGE, EDGE, 3)."""
    rng, kept = np.random.default_rng(1), []
    for path in sorted(photos.iterdir()):
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            continue
        photo = np.asarray(Image.open(path).convert("RGB"))
        height, width = photo.shape[:2]
        if min(height, width) < EDGE:
            continue
        green = photo[:, :, 1].astype(np.float32)
        sums = cv2.integral(np.abs(np.diff(green, axis=0))[:, :-1] + np.abs(np.diff(green, axis=1))[:-1])
        places = []
        for _ in range(TRIES):
            y, x = int(rng.integers(height - EDGE + 1)), int(rng.integers(width - EDGE + 1))
            bottom, right = min(y + EDGE, height - 1), min(x + EDGE, width - 1)
            detail = sums[bottom, right] - sums[y, right] - sums[bottom, x] + sums[y, x]
            places.append((float(detail), y, x))
        taken: list[tuple[int, int]] = []
        for _, y, x in sorted(places, reverse=True):
            if len(taken) < PER_PHOTO and all(abs(y - v) + abs(x - u) > 0.7 * EDGE for v, u in taken):
                taken.append((y, x))
                kept.append(photo[y : y + EDGE, x : x + EDGE])
    work.mkdir(parents=True, exist_ok=True)
    np.save(work / "crops.npy", np.stack(kept))
    print(f"{len(kept)} crops")


def teach(work: Path, scale: int, teacher: Path) -> None:
    """Inputs of a scale, and the teacher's outputs, in an order of chance."""
    high = np.load(work / "crops.npy", mmap_mode="r")
    low = work / f"low{scale}.npy"
    if not low.is_file():
        np.save(low, np.stack([imresize(np.ascontiguousarray(crop), 1 / scale) for crop in high]))
        np.lib.format.open_memmap(work / f"taught{scale}.npy", "w+", np.uint8, high.shape)
        np.save(work / f"done{scale}.npy", np.zeros(len(high), bool))
    inputs, network = np.load(low), load_model(teacher, "cpu").network
    out = np.load(work / f"taught{scale}.npy", mmap_mode="r+")
    done = np.load(work / f"done{scale}.npy", mmap_mode="r+")
    with torch.inference_mode():
        for number in np.random.default_rng(7).permutation(len(high)):
            if not done[number]:
                made = network(torch.from_numpy(inputs[number]).permute(2, 0, 1)[None].float() / 255)
                out[number] = made[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
                done[number] = True
    print(f"{len(high)} outputs")


@dataclass
class Samples:
    """Batches of patches for one scale."""

    work: Path
    scale: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.high, self.low, self.taught, self.done = (
            np.load(self.work / name, mmap_mode="r")
            for name in ("crops.npy", *(f"{kind}{self.scale}.npy" for kind in ("low", "taught", "done")))
        )

    def batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs, ground truths and the teacher's outputs, each (BATCH, 3, h, w) from 0 to 1."""
        ready = np.flatnonzero(self.done)
        columns = zip(*(self._turned(self._sample(int(self.rng.choice(ready)))) for _ in range(BATCH)), strict=True)
        x, y, t = (torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float() / 255 for patches in columns)
        return x, y, t

    def _sample(self, number: int) -> tuple[Bytes, Bytes, Bytes]:
        scale = self.scale
        if self.rng.random() < FLAT:
            flat = self._flat(PATCH * scale)
            return self._harmed(imresize(flat, 1 / scale)), flat, flat
        y, x = (int(place) for place in self.rng.integers(0, self.low.shape[1] - PATCH + 1, 2))
        large = np.s_[number, y * scale : (y + PATCH) * scale, x * scale : (x + PATCH) * scale]
        low = self.low[number, y : y + PATCH, x : x + PATCH]
        return self._harmed(low), self.high[large], self.taught[large]

    def _flat(self, edge: int) -> Bytes:
        """One colour, and up to four rectangles of others: half of them pure."""

        def colour() -> Any:
            pure = self.rng.random() < 0.5
            return self.rng.choice([0, 255], 3) if pure else self.rng.integers(0, 256, 3)

        image = np.empty((edge, edge, 3), np.uint8)
        image[:] = colour()
        for _ in range(self.rng.integers(0, 5)):
            (top, bottom), (left, right) = np.sort(self.rng.integers(0, edge, (2, 2)))
            image[top:bottom, left:right] = colour()
        return image

    def _harmed(self, low: Bytes) -> Bytes:
        """Some inputs with noise (sigma to 15, partly shot noise, partly gray) or JPEG (quality 30 to 95)."""
        rng = self.rng
        if rng.random() >= HARMED:
            return low
        if rng.random() < 0.5:
            noise = rng.normal(0, 1, (*low.shape[:2], 1 if rng.random() < 0.1 else 3))
            values, shot = low.astype(np.float32), rng.random()
            harmed: Bytes = (
                (values + noise * 15 * rng.random() * np.sqrt(1 - shot + shot * values / 128))
                .round()
                .clip(0, 255)
                .astype(np.uint8)
            )
            return harmed
        file = io.BytesIO()
        quality, subsampling = int(rng.integers(30, 96)), int(rng.choice([0, 2]))
        Image.fromarray(np.ascontiguousarray(low)).save(file, "JPEG", quality=quality, subsampling=subsampling)
        return np.asarray(Image.open(file))

    def _turned(self, patches: tuple[Bytes, Bytes, Bytes]) -> list[Bytes]:
        turns, mirrored = int(self.rng.integers(4)), self.rng.random() < 0.5
        turned = [np.rot90(patch, turns) for patch in patches]
        return [patch[:, ::-1] if mirrored else patch for patch in turned]


def forward(net: MambaIRNano, x: Tensor) -> Tensor:
    """What ``net`` computes, by torch's convolutions on NCHW tensors, which train faster than its own."""

    def convolve(layer: nn.Module, value: Tensor) -> Tensor:
        return F.conv2d(value, layer.weight, layer.bias, padding=1)  # type: ignore[arg-type]

    features = shallow = convolve(net.conv_first, x)
    for block in net.body:
        if isinstance(block, ReducedScan):
            features = block(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        else:
            inner = F.silu(convolve(block.conv1, features))  # type: ignore[arg-type]
            features = features + convolve(block.conv2, inner)  # type: ignore[arg-type]
    features = shallow + convolve(net.conv_body, features)
    pixels = convolve(net.upsample, features) + x.repeat_interleave(net.scale**2, 1)
    return F.pixel_shuffle(pixels, net.scale)


def scores(net: MambaIRNano, folders: list[Path]) -> dict[str, float]:
    """Mean PSNR of Y with the scale as border, on good images that are reduced here."""
    found = {}
    for folder in folders:
        values = []
        for path in sorted(each for each in folder.iterdir() if each.suffix.lower() in (".png", ".bmp", ".jpg")):
            image = np.asarray(Image.open(path).convert("RGB"))
            height, width = (edge // net.scale * net.scale for edge in image.shape[:2])
            image = np.ascontiguousarray(image[:height, :width])
            x = torch.from_numpy(imresize(image, 1 / net.scale)).permute(2, 0, 1)[None].float() / 255
            with torch.inference_mode():
                out = net(x)[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
            values.append(psnr(out, image, net.scale, y_channel=True))
        found[folder.parent.name if folder.name == "HR" else folder.name] = round(float(np.mean(values)), 3)
    return found


def train(work: Path, scale: int, minutes: float, lr: float, start: Path | None, out: Path, tests: list[Path]) -> None:
    """Train until the time is over, and write the averaged weights."""
    torch.manual_seed(1)
    net, samples = MambaIRNano(upscale=scale), Samples(work, scale, np.random.default_rng())
    if start:
        given, own = torch.load(start, weights_only=True), net.state_dict()
        net.load_state_dict(own | {k: v for k, v in given.items() if k in own and own[k].shape == v.shape})
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parameters = list(net.parameters())
    average = [value.detach().clone() for value in parameters]
    optimizer = torch.optim.Adam(parameters, lr=0.0, betas=(0.9, 0.99), fused=True)
    step, before, state = 0, 0.0, out.with_suffix(".state")
    if state.is_file():
        found = torch.load(state, weights_only=True)
        net.load_state_dict(found["net"])
        optimizer.load_state_dict(found["optimizer"])
        average, step, before = found["average"], found["step"], found["seconds"]
    began = saved = time.monotonic()
    while (share := (before + time.monotonic() - began) / (60 * minutes)) < 1:
        rate = lr * min(1, (step + 1) / WARMUP) * (0.499 * (1 + math.cos(math.pi * share)) + 0.002)
        for group in optimizer.param_groups:
            group["lr"] = rate
        x, y, t = samples.batch()
        made = forward(net, x.contiguous(memory_format=torch.channels_last))
        if share > MSE_FROM:
            loss = 10 * ((made - y).square().mean() + (made - t).square().mean())
        else:
            loss = ((made - y).abs().mean() + (made - t).abs().mean()) / 2
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        decay = min(DECAY, 1 - 1 / (1 + step / 10))
        torch._foreach_lerp_(average, [value.detach() for value in parameters], 1 - decay)
        step += 1
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            _keep(net, average, out, tests, step)
            kept = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "average": average, "step": step}
            _replace(kept | {"seconds": before + saved - began}, state)
    _keep(net, average, out, tests, step)


def _keep(net: MambaIRNano, average: list[Tensor], out: Path, tests: list[Path], step: int) -> None:
    averaged = MambaIRNano(upscale=net.scale)
    names = [name for name, _ in net.named_parameters()]
    averaged.load_state_dict(
        net.state_dict() | {name: value.contiguous() for name, value in zip(names, average, strict=True)}
    )
    print(f"step {step}: {scores(averaged.eval(), tests)}", flush=True)
    _replace(averaged.state_dict(), out)


def _replace(content: Any, path: Path) -> None:
    with atomic.replacing(path) as temporary:
        torch.save(content, temporary)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("crops", "teach", "train"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--minutes", type=float, default=130)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--test", nargs="*", type=Path, default=[])
    parser.add_argument("-o", "--output", type=Path, default=Path("distilled.pth"))
    given = parser.parse_args()
    if given.what == "crops":
        crops(*given.folders)
    elif given.what == "teach":
        teach(given.folders[0], given.scale, given.teacher)
    else:
        train(given.folders[0], given.scale, given.minutes, given.lr, given.start, given.output, given.test)


if __name__ == "__main__":
    main()
