"""The training loop: as many iterations as asked for, and after a crash the same ones again.

An iteration is one step of the optimiser over ``batch_size_per_gpu * accumulate`` samples per process. What happens
after it comes in a fixed order: report, validate, save. So a checkpoint holds all that came before it, and whatever
came after it is done again by a run that goes on from it.
"""

import datetime
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from ..console import Console, Count
from ..errors import InputError, MambairError, OutOfMemoryError
from ..restoration.memory import is_out_of_memory
from . import checkpoints, randomness, resuming, samples, sampling, team, trackers
from .basicsr import bridge
from .interruption import deferred
from .journal import Journal
from .meter import Clock, Meter, memory
from .team import Processes

BLINK = 0.1
"""Seconds between two looks of the display."""
SHOWN = 4
"""Pictures of each validation set that are shown beside the curves."""

KEPT = ("skipped", "best_metric_results", "scaler_state")
"""What models count beside their weights."""


class Trainer:
    """One run of one recipe.

    Args:
        options: complete, see :func:`mambair_cli.training.recipe.resolving.resolve`.
        console: where to talk; the first process's alone is used.
        processes: this process and the others, connected.
    """

    def __init__(self, options: dict[str, Any], console: Console, processes: Processes) -> None:
        self.options, self.console, self.processes = options, console, processes
        self.folder = Path(options["path"]["experiments_root"])
        self.train, self.val = options["train"], options.get("val") or {}
        self.total = self.train["total_iter"]
        self.recipe = resuming.recorded(options)  # before BasicSR takes keys out
        self.news: list[str] = []
        self.iteration, self.samples = 0, 0
        self.saved, self.shown = 0, 0.0
        self.best: dict[str, Any] = {}
        self.meter, self.clock = Meter(), Clock()
        self.journal: Journal | None = None

    def build(self, state: Path | None = None) -> None:
        """Data, networks, optimisers; with ``state`` those of a checkpoint.

        Raises:
            MambairError: something of it cannot be made or read.
        """
        randomness.seed(self.options["manual_seed"])
        saved = checkpoints.read(state) if state else None
        if state and saved:
            if before := (saved.get("mambair") or {}).get("recipe"):
                resuming.check(before, self.recipe)
                self.news = list(resuming.changes(before, self.recipe))
            checkpoints.point_to_weights(self.options, state, saved["iter"])
        self.model = bridge.build_model(self.options)
        train = self.options["datasets"]["train"]
        self.dataset = bridge.build_dataset(train)
        self.epoch_size = len(self.dataset) * train["dataset_enlarge_ratio"]
        self.batch = train["batch_size_per_gpu"] * self.train["accumulate"]
        self.validations = [
            validation_loader(options)
            for options in self.options["datasets"].values()
            if options["phase"] == "val" and self.val
        ]
        randomness.seed(self.options["manual_seed"] + self.processes.rank)
        if saved:
            self._go_on(saved)
        self.random = randomness.capture()

    def _go_on(self, saved: dict[str, Any]) -> None:
        self.model.resume_training(saved)
        self.iteration = self.saved = int(saved["iter"])
        resuming.replay(self.model, self.iteration, self.train["warmup_iter"])
        ours = saved.get("mambair")
        if ours is None:  # BasicSR's own; it says no more than the iteration
            self.samples = self.iteration * self.batch * self.processes.world
            return
        self.samples, self.meter = ours["samples"], Meter(**ours["meter"])
        kept = dict(ours["model"])
        if resuming.metrics(ours.get("recipe") or self.recipe) == resuming.metrics(self.recipe):
            self.best = ours["best"]
        else:  # the best of another figure is no measure for this one
            kept.pop("best_metric_results", None)
        for name, value in kept.items():
            setattr(self.model, name, value)
        if self.processes.rank < len(ours["random"]):
            randomness.restore(ours["random"][self.processes.rank])

    def batches(self) -> Generator[Any, None, None]:
        """The rest of the training's batches, one per iteration.

        Raises:
            InputError: a sample cannot be loaded.
        """
        world = self.processes.world
        stop = self.samples + (self.total - self.iteration) * self.batch * world
        seed, rank = self.options["manual_seed"], self.processes.rank
        options = self.options["datasets"]["train"]
        stream = sampling.Stream(
            self.epoch_size, self.batch, seed, self.samples, stop, rank, world, shuffle=options["use_shuffle"]
        )
        loader = sampling.loader(self.dataset, options, stream)
        with sampling.workers_ended(iter(loader)) as source:
            yield from self._loaded(source)

    def _loaded(self, source: Iterator[Any]) -> Iterator[Any]:
        while True:
            try:
                batch = next(source)
            except StopIteration:
                return
            except (MambairError, MemoryError):
                raise
            except Exception as error:  # from the data set's code, perhaps by way of a worker process
                reason = str(error).strip().splitlines() or [type(error).__name__]
                last = reason[-1].removeprefix(f"{InputError.__module__}.InputError: ")
                raise InputError(
                    f"A training sample cannot be loaded: {last.rstrip('.')}.",
                    "Check the images of datasets.train; --verbose shows where it happened.",
                ) from error
            yield batch

    def step(self, batch: Any) -> None:
        """One iteration.

        Raises:
            OutOfMemoryError: it does not fit.
        """
        self.iteration += 1
        self.samples += self.batch * self.processes.world
        try:
            self.model.update_learning_rate(self.iteration, warmup_iter=self.train["warmup_iter"])
            self.model.feed_data(batch)
            self.model.optimize_parameters(self.iteration)
        except Exception as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(
                    f"A step with {self.batch} samples takes more memory than there is.",
                    "Lower batch_size_per_gpu and raise train.accumulate, or set network_g.use_checkpoint=true.",
                ) from error
            raise
        self.meter.add(self.model.get_current_log())

    def run(self) -> None:
        """Train to the end; an interruption saves and then takes its course.

        Raises:
            MambairError: the training cannot go on; the last checkpoint is as it was.
        """
        with (
            self._journal(),
            self._watched(),
            self._shown() as show,
            deferred() as interruption,
            closing(self.batches()) as batches,
        ):
            if self._exhausted():
                self._say(f"ended early before, after iteration {self.iteration}; val.patience=null goes on.")
                return
            randomness.restore(self.random)  # libraries that are imported late (rich, say) draw numbers
            self.clock.resume()
            for batch in batches:
                self.step(batch)
                self.clock.step()
                self._after_step(show)
                number = team.largest(interruption.number, self.processes, self.model.device)
                if number and self.iteration < self.total:
                    interruption.take(number)
                    self.save()
                    self._say(f"interrupted after iteration {self.iteration}; the same command goes on from there.")
                    interruption.act()
                if self._ends_early():
                    self.save()
                    break
                self.clock.resume()
            self.model.save(-1, -1)
            self._say(f"done: {self.iteration} iterations, {self.folder / 'models' / 'net_g_latest.pth'}")

    def _after_step(self, show: Count) -> None:
        logger = self.options["logger"]
        if time.monotonic() - self.shown > BLINK:
            self.shown = time.monotonic()
            show(self.iteration, self._status())
        if self._due(logger["print_freq"]):
            with randomness.kept():  # what is imported for it late may draw numbers
                self._report()
        if self.val and self._due(self.val["val_freq"]):
            with randomness.kept():  # validating more or less often leaves the training as it is
                self.validate()
        if self._due(logger["save_checkpoint_freq"]):
            self.save()

    def _exhausted(self) -> bool:
        """Whether validations have brought nothing for longer than the recipe waits."""
        patience = self.val.get("patience")
        if not patience or not self.best:
            return False
        return bool(self.iteration - self.best["iter"] >= patience * int(self.val["val_freq"]))

    def _ends_early(self) -> bool:
        """The same for all processes, of which the first one alone knows what validations brought."""
        if not self.val.get("patience") or not self._due(self.val["val_freq"]) or self.iteration == self.total:
            return False
        if not team.largest(int(self._exhausted()), self.processes, self.model.device):
            return False
        self._say(f"{self.val['patience']} validations without a better {self.best.get('metric')}: ending early.")
        return True

    def _due(self, every: float) -> bool:
        return self.iteration % int(every) == 0 or self.iteration == self.total

    def _status(self) -> list[str]:
        """What a line of figures shows, most important first."""
        rate = self.clock.steps / max(self.clock.seconds, 1e-9)
        losses = {name: value for name, value in self.model.get_current_log().items() if name.startswith("l_")}
        name = "l_pix" if "l_pix" in losses else next(iter(losses), None)
        parts = [f"loss {losses[name]:.4f}"] if name else []
        parts += [f"{rate:.2f} it/s", f"lr {self.model.get_current_learning_rate()[0]:.2e}"]
        if self.best:
            parts.append(f"best {self.best['metric']} {self.best['value']:.2f}")
        return [*parts, f"{memory(self.model.device) / 2**30:.1f} GiB"]

    def _report(self) -> None:
        rate = self.clock.take()
        means, lr = self.meter.take(), self.model.get_current_learning_rate()[0]
        if not self.journal:
            return
        epoch = (self.samples - 1) // self.epoch_size
        self.journal.row(iter=self.iteration, epoch=epoch, lr=lr, **means)
        values = " ".join(f"{name} {value:.4g}" for name, value in means.items())
        left = datetime.timedelta(seconds=int((self.total - self.iteration) / max(rate, 1e-9)))
        size = memory(self.model.device) / 2**30
        self._say(
            f"{self.iteration}/{self.total} epoch {epoch} {values} lr {lr:.3g}, {rate:.2f} it/s, "
            f"{left} left, {size:.1f} GiB"
        )

    def validate(self) -> None:
        """All validation sets; the first metric of the first set decides which weights are the best."""
        for number, loader in enumerate(self.validations):
            with samples.seen(self.model, SHOWN if self.journal and self.journal.trackers else 0) as seen:
                self.model.validation(loader, self.iteration, None, self.val["save_img"])
            if self.journal:
                for name, picture in seen.items():
                    self.journal.picture(self.iteration, f"{loader.dataset.opt['name']}/{name}", picture)  # type: ignore[attr-defined]
                results = dict(getattr(self.model, "metric_results", {}))
                self._note_results(loader.dataset.opt["name"], results, decisive=number == 0)  # type: ignore[attr-defined]

    def _note_results(self, name: str, results: dict[str, float], decisive: bool) -> None:
        assert self.journal
        values = {f"{name}/{metric}": float(value) for metric, value in results.items()}
        self.journal.row(iter=self.iteration, **values)
        self._say(f"{self.iteration}/{self.total} " + " ".join(f"{key} {value:.4f}" for key, value in values.items()))
        if not decisive or not results:
            return
        metric, value = next((metric, float(value)) for metric, value in results.items())
        sign = -1 if self.val["metrics"][metric].get("better") == "lower" else 1
        if not self.best or sign * value > sign * self.best["value"]:
            self.best = {"metric": metric, "value": value, "iter": self.iteration}
            self.model.save(-1, "best")

    def save(self) -> None:
        """A checkpoint of this iteration, unless there is one."""
        if self.saved == self.iteration:
            return
        self.model.extra_state = {
            "samples": self.samples,
            "best": self.best,
            "recipe": self.recipe,
            "networks": [key.removeprefix("network_") for key in self.options if key.startswith("network_")],
            "kinds": [type(optimizer).__name__ for optimizer in self.model.optimizers],
            "meter": {"sums": self.meter.sums, "count": self.meter.count},
            "model": {name: plain(getattr(self.model, name)) for name in KEPT if hasattr(self.model, name)},
            "random": team.gathered(randomness.capture(), self.processes),
        }
        self.model.save(self.samples // self.epoch_size, self.iteration)
        self.saved = self.iteration
        if self.processes.first and self.train.get("keep_last"):
            checkpoints.prune(self.folder, int(self.train["keep_last"]))

    @contextmanager
    def _journal(self) -> Iterator[None]:
        if not self.processes.first:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoints.sweep(self.folder)
        shown = trackers.chosen(self.options, self.recipe, self.iteration, self.console.warn)
        self.journal = Journal(self.folder, self.iteration, shown)
        try:
            yield
        finally:
            self.journal.close()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not team.is_gone(error):
                raise
            raise MambairError(
                f"{team.GONE}, at iteration {self.iteration}.",
                "See what it said; the same command goes on from the last checkpoint.",
            ) from error

    @contextmanager
    def _shown(self) -> Iterator[Count]:
        if not self.processes.first:
            yield lambda done, status: None
            return
        with self.console.counter(self.options["name"], self.total) as show:
            yield show

    def _say(self, text: str) -> None:
        if self.journal:
            self.console.note(text)
            self.journal.say(text)


def validation_loader(options: dict[str, Any]) -> DataLoader[Any]:
    """One picture after the other."""
    dataset = bridge.build_dataset(options)
    if not hasattr(dataset, "opt"):
        dataset.opt = options  # where BasicSR looks for the name
    return DataLoader(dataset, batch_size=1)


def plain(value: Any) -> Any:
    """Numbers of numpy as Python's, which ``torch.load`` reads without trust."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.item() if hasattr(value, "item") else value
