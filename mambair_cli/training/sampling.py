"""Which samples a step sees and what chance does to them: functions of (seed, epoch, index) alone.

All epochs are one endless stream, each a permutation of its own (or none, if the recipe does not shuffle); a step takes
the next samples of it, whoever loads them. A position in the stream is one number, nothing is dropped at the end of an
epoch, and the samples of a step do not depend on how many processes share it.
"""

import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

Key = tuple[int, int]
"""(epoch, index within the enlarged data set)."""

GRACE = 60
"""Seconds that a worker told to end goes on."""


class Stream(Sampler[list[Key]]):
    """Batches of keys from ``start`` to ``stop`` (positions in the stream) for one of ``world`` processes.

    Args:
        size: samples in an epoch.
        batch: samples per process and step.
        shuffle: whether epochs have an order of their own; else all have that of the data set.
    """

    def __init__(
        self,
        size: int,
        batch: int,
        seed: int,
        start: int,
        stop: int,
        rank: int = 0,
        world: int = 1,
        *,
        shuffle: bool = True,
    ) -> None:
        self.size, self.batch, self.seed = size, batch, seed
        self.start, self.stop, self.rank, self.world = start, stop, rank, world
        self.shuffle = shuffle
        self._order = lru_cache(maxsize=2)(self._permutation)

    def _permutation(self, epoch: int) -> NDArray[np.int64]:
        return (
            np.random.default_rng((self.seed, epoch)).permutation(self.size) if self.shuffle else np.arange(self.size)
        )

    def _key(self, position: int) -> Key:
        epoch, place = divmod(position, self.size)
        return epoch, int(self._order(epoch)[place])

    def __iter__(self) -> Iterator[list[Key]]:
        for position in range(self.start, self.stop, self.batch * self.world):
            first = position + self.rank * self.batch
            yield [self._key(first + k) for k in range(self.batch)]

    def __len__(self) -> int:
        return -(-(self.stop - self.start) // (self.batch * self.world))


class Seeded(Dataset[Any]):
    """A data set whose samples are asked for by key; an index beyond its end means another draw of the same image.

    Data sets with ``draw(index, generator)`` get a generator of their own. Others draw from the libraries' global
    generators, which are seeded for the sample and put back after it.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed = dataset, seed

    def __getitem__(self, key: Key) -> Any:
        index = key[1] % len(self.dataset)
        entropy = (self.seed, *key)
        if hasattr(self.dataset, "draw"):
            return self.dataset.draw(index, np.random.default_rng(entropy))
        if get_worker_info() is not None:  # whose generators serve nothing else
            _seed(entropy)
            return self.dataset[index]
        before = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            _seed(entropy)
            return self.dataset[index]
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
            torch.set_rng_state(before[2])


def _seed(entropy: tuple[int, ...]) -> None:
    value = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(value)
    np.random.seed(value)
    torch.default_generator.manual_seed(value)


def loader(dataset: Any, options: dict[str, Any], stream: Stream) -> DataLoader[Any]:
    """Loads the stream's batches in the processes that the recipe asks for, ahead of the training."""
    workers = options["num_worker_per_gpu"]
    return DataLoader(
        Seeded(dataset, stream.seed),
        batch_sampler=stream,
        num_workers=workers,
        pin_memory=options["pin_memory"] and torch.cuda.is_available(),
        worker_init_fn=_start_worker if workers else None,
        generator=torch.Generator().manual_seed(stream.seed),  # else the loader draws a number from the global one
    )


@contextmanager
def workers_ended(batches: Iterator[Any]) -> Iterator[Iterator[Any]]:
    """End a loader's workers with the block; after a failure the traceback would keep them until Python exits."""
    try:
        yield batches
    finally:
        if hasattr(batches, "_shutdown_workers"):
            batches._shutdown_workers()


def _start_worker(number: int) -> None:
    """Leave interruptions to the main process, which saves and then ends its workers; one thread each.

    torchrun sends SIGTERM to workers too, and a worker's sudden end would stop the main process before it has saved.
    """
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":  # which ends a process without asking it
        signal.signal(signal.SIGTERM, lambda signum, frame: signal.alarm(GRACE))
    cv2.setNumThreads(0)
