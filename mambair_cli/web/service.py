"""The work behind the page: pictures that were given, orders for them, and a thread that restores one by one."""

import queue
import shutil
import tempfile
import threading
import time
import uuid
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from PIL import Image, ImageOps

from ..commands.defaults import default_model
from ..errors import InputError, MambairError, UsageError, explained
from ..files import atomic
from ..images.decode import decode_bytes
from ..restoration import batch
from ..restoration.choices import Choices
from ..restoration.engine import Progress
from ..restoration.estimate import Estimate, estimate
from ..restoration.picture import Run
from ..restoration.plan import ending
from ..restoration.result import Job, Result
from ..restoration.sources import ArraySource
from ..tasks import TASKS
from ..weights import catalog, loader

MODELS = 2
"""Networks that stay loaded."""

KEPT = 200
"""Pictures that are kept; the oldest go first."""

PREVIEW = 1600
"""Longest edge in pixels of what the page shows."""

NOISY, GRAINY, COMPRESSED = 6.0, 3.0, 80
"""Noise and grain (255ths of white) from which, and JPEG quality up to which, the page advises what to do about it."""


class State(StrEnum):
    """What becomes of a ticket."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Cancelled(MambairError):
    """Nobody wants the result any more."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be done.

    Attributes:
        task: a name of :data:`mambair_cli.tasks.TASKS`.
        model: a name of the catalogue; None: the default for task and scale.
        scale: enlargement; None: the model's. Only for tasks that enlarge.
        strength: share of the result in a blend with the input, 0 to 1; above 1 it takes away more haze.
        sigma: standard deviation of the noise, of 255; None: what the model sees. Only for denoising.
    """

    task: str
    model: str | None = None
    scale: float | None = None
    strength: float = 1.0
    sigma: float | None = None


@dataclass
class Given:
    """A picture that was given.

    Attributes:
        name: as its owner calls it.
        width: in pixels.
        height: in pixels.
        estimate: of noise and compression.
    """

    id: str
    name: str
    path: Path
    width: int
    height: int
    estimate: Estimate

    @property
    def advice(self) -> str:
        """Which task may help, in plain words; empty where nothing is to be said."""
        found = self.estimate
        if found.quality is not None and found.quality <= COMPRESSED:
            return f"Strongly compressed (JPEG quality of about {found.quality}): try “Repair JPEG”."
        if found.noise is not None and found.noise >= NOISY:
            return f"Noisy (about {found.noise:.0f} of 255): try “Remove noise”."
        if found.grain is not None and found.grain >= GRAINY:
            return f"Grain of a camera (about {found.grain:.0f} of 255): try “Remove noise”."
        return ""


@dataclass
class Ticket:
    """An order for a picture.

    Attributes:
        model: the one that was ordered, or the default.
        target: where the result goes.
        done: tiles restored so far.
        total: tiles in all; 0 while nobody knows.
        result: what the command would have told of it.
        message: what went wrong, and what to do.
    """

    id: str
    given: Given
    order: Order
    model: str
    target: Path
    state: State = State.WAITING
    done: int = 0
    total: int = 0
    started: float = 0.0
    result: Result | None = None
    message: str = ""
    wanted: bool = field(default=True, repr=False)

    @property
    def name(self) -> str:
        """What the result is called."""
        return self.target.name

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in (State.DONE, State.FAILED, State.CANCELLED)

    @property
    def remaining(self) -> float | None:
        """Seconds that the network will still take, if that can be told yet."""
        if self.state is not State.RUNNING or not self.done:
            return None
        return (time.monotonic() - self.started) / self.done * (self.total - self.done)


class Service:
    """Takes pictures and orders, and restores in a thread of its own. All methods may be called from any thread."""

    def __init__(self, device: str = "auto", max_bytes: int = 256 << 20, max_waiting: int = 100) -> None:
        self.max_bytes, self.max_waiting = max_bytes, max_waiting
        self._device = device
        self._folder = Path(tempfile.mkdtemp(prefix="mambair-"))
        self._lock = threading.RLock()
        self._given: OrderedDict[str, Given] = OrderedDict()
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._models: OrderedDict[str, loader.Model] = OrderedDict()
        self._queue: queue.Queue[Ticket | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def give(self, name: str, content: bytes) -> Given:
        """Keep a picture.

        Raises:
            InputError: it is too large, or no picture that can be read.
        """
        name = Path(name.replace("\\", "/")).name or "picture"
        if len(content) > self.max_bytes:
            raise InputError(
                f"{name} has {len(content) >> 20} MiB, more than the {self.max_bytes >> 20} allowed here.",
                "Use the command, which has no such limit.",
            )
        picture = decode_bytes(content, name, **Choices().reading())
        height, width = picture.pixels.shape[:2]
        key = uuid.uuid4().hex
        path = self._folder / key / name
        path.parent.mkdir()
        path.write_bytes(content)
        given = Given(key, name, path, width, height, estimate(ArraySource(picture.pixels), content))
        with self._lock:
            self._given[key] = given
            for old in list(self._given)[:-KEPT]:
                self.forget(old)
        return given

    def order(self, given: Given, order: Order) -> Ticket:
        """Have a picture restored when its turn comes.

        Raises:
            UsageError: the order contradicts itself, too many wait, or the picture is gone.
        """
        task = next((task for task in TASKS if task.name == order.task), None)
        if task is None:
            raise UsageError(f"There is no task {order.task}.", f"Use {', '.join(task.name for task in TASKS)}.")
        if order.scale is not None and not task.enlarges:
            raise UsageError(f"The task {task.name} keeps the size.", "Leave out the scale.")
        if order.sigma is not None and task.name != "denoise":
            raise UsageError(f"The task {task.name} takes no noise away.", "Leave out sigma.")
        if order.strength > task.strongest:
            raise UsageError(
                f"A strength of {order.strength:g} is not between 0 and {task.strongest:g}.", "Give a smaller one."
            )
        Choices(strength=order.strength, sigma=order.sigma)  # refuses now what it would refuse later
        name = order.model or default_model(order.task, order.scale)
        entry = catalog.by_name(name)
        if entry is None or not entry.installed or entry.task != order.task:
            raise UsageError(f"The model {name} is not installed for {order.task}.", "Choose one that the page offers.")
        key = uuid.uuid4().hex
        suffix = ending(order.task, order.scale or entry.scale)
        target = self._folder / key / f"{given.path.stem}{suffix}.png"
        target.parent.mkdir()
        ticket = Ticket(key, given, order, name, target)
        with self._lock:
            if given.id not in self._given:
                raise UsageError(f"{given.name} is no longer kept here.", "Give it again.")
            if sum(not each.over for each in self._tickets.values()) >= self.max_waiting:
                raise UsageError(f"{self.max_waiting} pictures are waiting already.", "Try again when some are done.")
            self._tickets[key] = ticket
        self._queue.put(ticket)
        return ticket

    def given(self, key: str) -> Given | None:
        """A picture by its id."""
        return self._given.get(key)

    def ticket(self, key: str) -> Ticket | None:
        """A ticket by its id."""
        return self._tickets.get(key)

    def cancel(self, ticket: Ticket) -> None:
        """Stop the work on it before the next tile."""
        with self._lock:
            ticket.wanted = False
            if ticket.state is State.WAITING:
                ticket.state = State.CANCELLED

    def forget(self, key: str) -> None:
        """Remove a picture and its results."""
        with self._lock:
            given = self._given.pop(key, None)
            for ticket in [each for each in self._tickets.values() if each.given is given]:
                self.cancel(ticket)
                del self._tickets[ticket.id]
                shutil.rmtree(ticket.target.parent, ignore_errors=True)
        if given:
            shutil.rmtree(given.path.parent, ignore_errors=True)

    def preview(self, path: Path) -> Path:
        """A picture small enough to be shown beside another one: a JPEG, made once."""
        small = path.parent / "preview.jpg"
        if not small.is_file():
            picture = decode_bytes(path.read_bytes(), path.name)
            pixels = picture.pixels
            if pixels.dtype != "uint8":
                top = 1.0 if pixels.dtype == "float32" else 65535
                pixels = (pixels.astype("float32") * (255 / top)).round().clip(0, 255).astype("uint8")
            image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
            flat = Image.new("RGB", image.size, "white")
            flat.paste(image, mask=image.getchannel("A") if "A" in image.getbands() else None)
            shown = ImageOps.contain(flat, (PREVIEW, PREVIEW)) if max(flat.size) > PREVIEW else flat
            with atomic.replacing(small) as temporary:
                shown.save(temporary, "JPEG", quality=92)
        return small

    def packed(self, tickets: Iterable[Ticket]) -> Path:
        """A zip file of the results that are there; two of one name are told apart by a number."""
        path = self._folder / f"{uuid.uuid4().hex}.zip"
        taken: set[str] = set()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for ticket in tickets:
                if ticket.state is State.DONE:
                    name, number = ticket.name, 1
                    while name in taken:
                        number += 1
                        name = f"{ticket.target.stem}_{number}{ticket.target.suffix}"
                    taken.add(name)
                    archive.write(ticket.target, name)
        return path

    def close(self) -> None:
        """End the work, and remove all files."""
        with self._lock:
            for ticket in self._tickets.values():
                ticket.wanted = False
        self._queue.put(None)
        self._thread.join(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _work(self) -> None:
        while (ticket := self._queue.get()) is not None:
            with self._lock:
                if not ticket.wanted:
                    continue
                ticket.state, ticket.started = State.RUNNING, time.monotonic()
            try:
                self._restore(ticket)
            except Exception as error:  # whatever happens to one picture, the others must go on
                problem = explained(error, f"Restoring {ticket.given.name}")
                ticket.message, ticket.state = f"{problem.message} {problem.hint}", State.FAILED

    def _restore(self, ticket: Ticket) -> None:
        order = ticket.order
        model = self._model(ticket.model)
        scale = None if order.scale == model.descriptor.scale else order.scale
        poor = None if order.model else catalog.for_poor(ticket.model)
        for_poor = self._model(poor.name) if poor else None
        run = Run(model, Choices(scale=scale, strength=order.strength, sigma=order.sigma), for_poor=for_poor)
        job = Job(ticket.given.path, ticket.target)
        batch.run(run, [job], lambda _, result: self._tell(ticket, result), lambda _: _bar(ticket), lambda _: None)

    def _model(self, name: str) -> loader.Model:
        if name not in self._models:
            self._models[name] = loader.load(name, self._device)
        self._models.move_to_end(name)
        while len(self._models) > MODELS:
            self._models.popitem(last=False)
        return self._models[name]

    def _tell(self, ticket: Ticket, result: Result) -> None:
        ticket.result = result
        if result.error is None:
            ticket.state = State.DONE
        elif not ticket.wanted:
            ticket.state = State.CANCELLED
        else:
            message = f"{result.error} {result.hint or ''}"
            ticket.message = message.replace(str(ticket.given.path), ticket.given.name)
            ticket.state = State.FAILED


@contextmanager
def _bar(ticket: Ticket) -> Iterator[Progress]:
    def show(done: int, total: int) -> None:
        if not ticket.wanted:
            raise Cancelled("Nobody wants the result any more.", "")
        ticket.done, ticket.total = done, total

    yield show
