"""Takes pure colours unchanged up to the border of a picture, and leaves what becomes of photos as it is.

python -m benchmarks.flat_borders NAME PHOTOS OUT.pth [--weight 30] [--rounds 5] [--last 2] [--steps 30] [--patches 64]

Convolutions see zeros beyond the border. A network learns what to make of them where pictures are like photos, but
hardly where they are one pure colour. Here the weights behind the last scan of a MambaIRNano are moved so that the mean
square of what changes in patches of photos, and ``weight`` times that of what flat colours are off, become least: each
round a Gauss-Newton step, found in ``steps`` steps of conjugate gradients. OUT holds the tensors, for
``mambair models export``.
"""

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import jvp, vjp

import mambair_cli
from benchmarks.card import harm
from benchmarks.card.samples import EDGE, Crops, Draw
from mambair_archs.mambair_nano import MambaIRNano, ReducedScan, ResidualBlock

CPU = torch.device("cpu")
PATCH, BATCH = 48, 8
PURE = torch.tensor(list(itertools.product((0.0, 1.0), repeat=3)))
SIZES = ((40, 40), (36, 24), (20, 28))
LARGE, CORNER, SEEN = (300, 400), 28, 12
"""A picture whose corners count, as a scan ends there after many equal pixels; their edge; how far the layers behind
the scan see at most, so that as much of an edge does not count.
"""
Weights = tuple[Tensor, ...]
Vector = Sequence[Tensor]


@dataclass(frozen=True)
class Part:
    """Inputs as they arrive behind the scan, and what should come out, each (n, channels, height, width).

    Where ``counts`` is not 1 it is 0.
    """

    image: Tensor
    shallow: Tensor
    features: Tensor
    target: Tensor
    weight: float
    flat: bool
    counts: Tensor = field(default_factory=lambda: torch.ones(()))

    def off(self, made: Tensor) -> Tensor:
        """What is wrong; what lies beyond black and white is cut off anyway."""
        off = (made - self.target) * self.counts
        beyond = (self.target == 1) & (off > 0) | (self.target == 0) & (off < 0)
        return torch.where(beyond, torch.zeros(()), off) if self.flat else off


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """With zeros beyond the border."""
    return F.conv2d(x, weight, bias, padding=1)


class Tail:
    """The layers of a network behind its last scan, as a function of their weights."""

    def __init__(self, net: MambaIRNano) -> None:
        self.net, self.area = net, net.scale**2
        self.first = 1 + max(k for k, block in enumerate(net.body) if isinstance(block, ReducedScan))
        blocks = [block for block in net.body[self.first :] if isinstance(block, ResidualBlock)]
        self.layers: list[nn.Conv2d] = [conv for block in blocks for conv in (block.conv1, block.conv2)]
        self.layers += [net.conv_body, net.upsample]

    def weights(self) -> Weights:
        """A copy of what they are."""
        return tuple(value.detach().clone() for layer in self.layers for value in layer.parameters())

    @torch.no_grad()
    def set(self, weights: Weights) -> None:
        """Put them into the network."""
        for value, new in zip((v for layer in self.layers for v in layer.parameters()), weights, strict=True):
            value.copy_(new)

    @torch.no_grad()
    def before(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """What the layers in front make of a picture."""
        features = shallow = self.net.conv_first(image.permute(0, 2, 3, 1).contiguous())
        for block in self.net.body[: self.first]:
            features = block(features)
        return shallow.permute(0, 3, 1, 2).clone(), features.permute(0, 3, 1, 2).clone()

    def of(self, part: Part) -> Callable[[Weights], Tensor]:
        """The result for a part, before its channels become pixels."""

        def run(weights: Weights) -> Tensor:
            layers = [weights[k : k + 2] for k in range(0, len(weights), 2)]
            x = part.features
            for k in range(0, len(layers) - 2, 2):
                x = x + convolved(F.silu(convolved(x, *layers[k])), *layers[k + 1])
            anchor = part.image.repeat_interleave(self.area, 1)
            return anchor + convolved(part.shallow + convolved(x, *layers[-2]), *layers[-1])

        return run


def photos(tail: Tail, folder: Path, patches: int, poor: bool) -> list[Part]:
    """Patches of photos; with ``poor``, noisy and compressed ones. They are to become what they become now."""
    crops, jpeg, scale = Crops(folder, CPU), harm.Jpeg(CPU), tail.net.scale
    low, parts = crops.reduced(scale), []
    for number in range(patches // BATCH):
        image = Draw(crops.weights, BATCH, PATCH, EDGE // scale).cut(low)
        if number % 4 if poor else number % 8 == 7:
            noise = harm.uniform(image, 0, 25 if poor else 10)
            image = harm.stored(harm.white_noise(image, noise, harm.uniform(image), 0.1))
        image = (jpeg.draw(image, 40, 98) if poor and number % 2 else image) / 255
        weight = 1 / (patches * PATCH**2 * 3 * tail.area)
        part = Part(image, *tail.before(image), image, weight, flat=False)
        with torch.no_grad():
            parts.append(Part(image, part.shallow, part.features, tail.of(part)(tail.weights()), weight, flat=False))
    return parts


def flats(tail: Tail, weight: float) -> list[Part]:
    """The eight pure colours in three sizes and in the corners of a large picture, and some others."""
    parts = []
    for colours, size in [*((PURE, size) for size in SIZES), (torch.rand(16, 3), (24, 28))]:
        image = colours[:, :, None, None].expand(-1, -1, *size).contiguous()
        share = weight / (len(SIZES) + 2) / (image.numel() * tail.area)
        parts.append(Part(image, *tail.before(image), image.repeat_interleave(tail.area, 1), share, flat=True))
    return [*parts, corners(tail, weight / (len(SIZES) + 2))]


def corners(tail: Tail, weight: float) -> Part:
    """Of a large picture in each pure colour; what lacks its surroundings there does not count."""
    found = []
    for colour in PURE:
        image = colour[None, :, None, None].expand(-1, -1, *LARGE).contiguous()
        found += [
            [value[:, :, rows, columns] for value in (image, *tail.before(image))]
            for rows, columns in itertools.product((slice(CORNER), slice(-CORNER, None)), repeat=2)
        ]
    image, shallow, features = (torch.cat(parts) for parts in zip(*found, strict=True))
    counts = torch.zeros(2, 2, CORNER, CORNER)
    near, far = slice(CORNER - SEEN), slice(SEEN, None)
    for down, right in itertools.product((0, 1), repeat=2):
        counts[down, right, (near, far)[down], (near, far)[right]] = 1
    counts = counts.view(4, 1, CORNER, CORNER).repeat(len(PURE), 1, 1, 1)
    share = weight / (3 * tail.area * float(counts.sum()))
    return Part(image, shallow, features, image.repeat_interleave(tail.area, 1), share, flat=True, counts=counts)


def step(tail: Tail, parts: Sequence[Part], at: Weights, steps: int) -> Weights:
    """Weights for which the weighted squares of what is off are less, after :func:`torch.func` at ``at``."""
    offs = [part.off(tail.of(part)(at)) for part in parts]
    counted = [
        off != 0 if part.flat else torch.ones((), dtype=torch.bool) for part, off in zip(parts, offs, strict=True)
    ]

    def back(values: Iterator[Tensor]) -> list[Tensor]:
        total = [torch.zeros_like(value) for value in at]
        for part, value in zip(parts, values, strict=True):
            (gradient,) = vjp(tail.of(part), at)[1](value * part.weight)
            total = [a + b for a, b in zip(total, gradient, strict=True)]
        return total

    def squared(way: Vector) -> list[Tensor]:
        changes = (
            jvp(tail.of(part), (at,), (tuple(way),))[1] * there for part, there in zip(parts, counted, strict=True)
        )
        return back(changes)

    found = [torch.zeros_like(value) for value in at]
    left = [-value for value in back(iter(offs))]
    way, size = left, dot(left, left)
    for _ in range(steps):
        moved = squared(way)
        far = size / dot(way, moved)
        found, left = along(found, way, far), along(left, moved, -far)
        size, before = dot(left, left), size
        way = along(left, way, size / before)
    shares = (0.5**k for k in range(5))
    start = loss(tail, parts, at)
    tried = (tuple(along(at, found, share)) for share in shares)
    return next((weights for weights in tried if loss(tail, parts, weights) < start), at)


def dot(one: Vector, other: Vector) -> float:
    """The sum of products."""
    return sum(float((a * b).sum()) for a, b in zip(one, other, strict=True))


def along(start: Vector, way: Vector, far: float) -> list[Tensor]:
    """``start`` plus ``far`` times ``way``."""
    return [a + far * b for a, b in zip(start, way, strict=True)]


@torch.no_grad()
def loss(tail: Tail, parts: Sequence[Part], weights: Weights) -> float:
    """The weighted squares of what is off."""
    return sum(float(part.off(tail.of(part)(weights)).square().sum()) * part.weight for part in parts)


@torch.inference_mode()
def worst(net: MambaIRNano) -> list[int]:
    """How much each pure colour is off at most, of 255, in sizes that were not trained."""
    found = []
    for colour in PURE:
        images = (colour.view(1, 3, 1, 1).expand(1, 3, *size) for size in ((41, 38), (64, 15), (128, 128), (200, 380)))
        off = [net(image.contiguous()).clamp(0, 1) - colour.view(1, 3, 1, 1) for image in images]
        found.append(max(round(255 * float(value.abs().max())) for value in off))
    return found


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weight", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--last", type=float, default=2, help="times the weight in the last round")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--patches", type=int, default=64)
    given = parser.parse_args()
    torch.manual_seed(3)
    net = mambair_cli.load_model(given.name).network
    assert isinstance(net, MambaIRNano)
    tail = Tail(net)
    weights = tail.weights()
    same = photos(tail, given.photos, given.patches, poor="photo" in given.name)
    print(f"pure colours are off by {worst(net)} of 255", flush=True)
    for number in range(given.rounds):
        last = number == given.rounds - 1
        parts = same + flats(tail, given.weight * (given.last if last else 1))
        weights = step(tail, parts, weights, given.steps)
        tail.set(weights)
        change = 255 * loss(tail, same, weights) ** 0.5
        print(f"round {number + 1}: {worst(net)}, photos change by {change:.2f} (root mean square)", flush=True)
    torch.save({name: value.detach().cpu() for name, value in net.state_dict().items()}, given.out)


if __name__ == "__main__":
    main()
