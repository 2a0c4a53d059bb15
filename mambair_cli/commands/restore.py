"""The commands that restore pictures: one pipeline, four tasks."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

from ..console import Console
from ..errors import MambairError, UsageError
from ..images import formats
from ..locations.url import Url
from ..restoration.choices import Choices
from ..tasks import Task
from . import options
from .common import check_backend, command
from .defaults import BEST, FAST, check_model, chosen_model
from .outcome import Outcome

if TYPE_CHECKING:
    from ..restoration.picture import Run
    from ..restoration.plan import Naming, Plan
    from ..restoration.result import Job
    from ..restoration.workers import Crew
    from ..weights.model import Model

MANY = 4
"""Devices whose names fit beside a progress bar."""


def restoring(task: Task) -> Callable[..., None]:
    """The command of a task."""

    def run(console: Console, **given: Any) -> None:
        _restore(console, task, **given)

    run.__doc__ = f"{task.text}\n\nExample: mambair {task.name} {task.example}"
    run.__signature__ = options.signature(options.foreign(task))  # type: ignore[attr-defined]
    return command(run, extensible=True)


@dataclass(frozen=True)
class Prepared:
    """All that is known of a run before its pictures are.

    Attributes:
        devices: as the user names them; several are shared.
        model: name or file, as other processes load it.
        for_poor: likewise of the model for pictures with noise or JPEG artefacts.
        cluster: where the cluster is that shares the pictures, if one does.
    """

    run: "Run"
    naming: "Naming"
    devices: list[str]
    model: str
    for_poor: str | None
    cluster: str | None = None

    @property
    def shared(self) -> bool:
        """Whether other processes do the work."""
        return self.cluster is not None or len(self.devices) > 1


def _restore(
    console: Console, task: Task, *, inputs: list[str], output: str | None, recursive: bool, **given: Any
) -> None:
    prepared = prepare(console, task, **given)
    from ..restoration import pipes
    from ..restoration.plan import plan

    todo = plan(inputs, output, prepared.naming, recursive)
    announce(console, todo)
    pipes.check(todo.jobs)
    check_quality({job.target.suffix.lower() for job in todo.jobs}, prepared.run.choices)
    check_clips(todo.jobs, prepared.run.choices)
    _check_urls(todo.jobs, prepared)
    outcome = work(console, prepared, todo.jobs)
    if outcome.failed and len(todo.jobs) > 1:
        names = ", ".join(outcome.failed)
        raise MambairError(
            f"{len(outcome.failed)} of {len(todo.jobs)} files failed: {names}.", "See the messages above."
        )
    if outcome.failed:
        raise typer.Exit(1)


def prepare(
    console: Console,
    task: Task,
    *,
    model: str | None,
    device: str,
    provider: str | None,
    suffix: str | None,
    format: str | None,
    whole: bool,
    wrap: bool,
    wrap_x: bool,
    cluster: str | None = None,
    **chosen: Any,
) -> Prepared:
    """Load the model, and refuse what does not go with it or with itself."""
    row = formats.by_name(format) if format else None
    examine = task.estimated and (console.verbose or console.json)
    axes = "xy" if wrap else "x" if wrap_x else "none"
    choices = _choices(whole, chosen | {"examine": examine, "wrap": axes})
    if suffix is not None and not {"/", os.sep, "\0"}.isdisjoint(suffix):
        raise UsageError(f"The suffix {suffix} holds what names cannot.", "Use letters; folders are named with -o.")
    devices = [name.strip() for name in device.split(",")]
    if cluster is not None:
        _check_cluster(devices)
    to_size = bool(choices.width or choices.height)
    name = chosen_model(console, task.name, choices.scale, to_size, model)
    from ..weights import catalog

    poor = catalog.for_poor(name) if model in (None, FAST, BEST) else None
    from ..restoration.memory import keep_freed_memory
    from ..restoration.model import check_precision, check_strength, settings
    from ..restoration.picture import Run
    from ..restoration.plan import Naming, ending
    from ..weights.loader import load

    keep_freed_memory()
    here = "cpu" if cluster is not None or len(devices) > 1 else device
    loaded = load(name, here, provider)
    if cluster is not None and not loaded.autocast:
        raise UsageError(f"{name} is run by onnxruntime, not by a cluster.", "Leave out --cluster.")
    if len(devices) > 1 and not loaded.autocast:
        raise UsageError(f"{name} is run by onnxruntime, not by several devices.", "Leave out --device.")
    check_precision(loaded, choices.precision)
    check_strength(loaded, choices.strength)
    check_model(console, loaded, task.name, choices)
    if cluster is None:
        _check_backends(devices, loaded)
    if choices.scale == loaded.descriptor.scale:
        choices = replace(choices, scale=None)
    settings(loaded, choices.tile, choices.overlap)
    scale = choices.scale or loaded.descriptor.scale
    own = ending(task.name, scale, choices.width, choices.height)
    naming = Naming(ending=own if suffix is None else suffix, format=row.name if row else None, compare=choices.compare)
    for_poor = load(poor.name, here) if poor else None
    run = Run(loaded, choices, for_poor=for_poor)
    return Prepared(run, naming, devices, name, poor.name if poor else None, cluster)


def _check_cluster(devices: list[str]) -> None:
    """Refuse what only means something on one machine, and find out early that Ray is there."""
    from ..cluster.connection import imported
    from ..cluster.crew import KINDS

    imported()
    for name in devices:
        if name not in KINDS:
            raise UsageError(
                f"--device {name} says nothing to a cluster.", "Give cpu, cuda or auto: every node knows its own."
            )


def _check_urls(jobs: "list[Job]", prepared: Prepared) -> None:
    """Find out early that URLs can be shared and written to; the first folder speaks for the others."""
    urls = [
        (place, place is job.target) for job in jobs for place in (job.source, job.target) if isinstance(place, Url)
    ]
    if not urls:
        return
    from ..locations import objects

    if prepared.shared:
        for url, _ in urls:
            objects.check_shared(url)
    outputs = [url for url, written in urls if written]
    if outputs:
        objects.check_writable(outputs[0].parent)


def announce(console: Console, todo: "Plan") -> None:
    """Say what is left out, and which results have names that nobody expects."""
    if todo.left_out:
        console.note(f"Left out, being results of earlier runs: {', '.join(map(str, todo.left_out))}.")
    if todo.unread:
        kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in todo.unread.most_common())
        console.note(f"Left out, being no pictures that are read: {kinds}.")
    for job in todo.renamed:
        console.note(f"{job.source} becomes {job.target.name}, since another picture's result has the shorter name.")


def _check_backends(devices: list[str], loaded: "Model") -> None:
    """Asks by kind, so that memory on several devices is left to their own processes."""
    import torch

    from ..weights.model import DEVICES, resolve_device

    for kind, name in {name.partition(":")[0]: name for name in devices}.items():
        check_backend(torch.device(kind) if kind in DEVICES else resolve_device(name))


def _choices(whole: bool, chosen: dict[str, Any]) -> Choices:
    """Refuses what contradicts itself."""
    choices = Choices(**chosen)
    if whole and choices.tile:
        raise UsageError("--whole and --tile contradict each other.", "Give one of them.")
    if choices.scale and (choices.width or choices.height):
        raise UsageError("--scale and --width or --height contradict each other.", "Give the scale or the size.")
    return replace(choices, tile=0) if whole else choices


def check_quality(suffixes: set[str], choices: Choices) -> None:
    """Refuse a quality for formats that have none."""
    lossy = [row for row in formats.writable() if row.lossy]
    if choices.quality is not None and not any(suffixes.intersection(row.suffixes) for row in lossy):
        raise UsageError(
            f"--quality is for lossy formats, not for {', '.join(sorted(suffixes))}.",
            f"Leave it out, or add --format {', '.join(row.name for row in lossy[:-1])} or {lossy[-1].name}.",
        )


def check_clips(jobs: "list[Job]", choices: Choices) -> None:
    """Refuse what is only for clips where there are none, and clips that nothing can open."""
    if any(job.clip for job in jobs):
        from ..video.library import load

        load()
    elif choices.crf is not None:
        raise UsageError("--crf is for clips, and there is none.", "Leave it out; --quality is for pictures.")
    elif choices.steady:
        raise UsageError("--steady is for clips, and there is none.", "Leave it out.")


def work(console: Console, prepared: Prepared, jobs: "list[Job]") -> Outcome:
    """Restore pictures, and tell of each."""
    from ..restoration import pipes
    from ..restoration.folders import Folders

    run = prepared.run
    resume = run.choices.resume
    folders = Folders.of(jobs)
    if run.records.fingerprint is None and (
        resume or len(jobs) > 1 or folders.recorded or any(job.clip for job in jobs)
    ):
        run = recorded(run)
    if any(job.piped_in for job in jobs):
        run = replace(run, piped=pipes.read())
    console.piped = any(job.piped_out for job in jobs)
    outcome = Outcome(console, jobs)
    thorough = resume or prepared.shared
    if thorough:
        folders.sweep()
    try:
        if prepared.shared:
            _by_several(console, replace(prepared, run=run), outcome)
        else:
            _by_one(console, run, outcome)
    finally:
        outcome.begun()
    if thorough:
        folders.sweep()
    outcome.missing()
    if not (resume or outcome.failed):
        folders.forget()
    outcome.summary()
    return outcome


def recorded(run: "Run") -> "Run":
    """With records under a fingerprint of weights and choices, in which a default is the same as its value."""
    from ..restoration.model import settings
    from ..restoration.record import Records, fingerprint

    model, choices = run.model, run.choices
    tiling = settings(model, choices.tile, choices.overlap)
    deciding = choices.deciding() | {"tile": tiling.tile, "overlap": tiling.overlap}
    for_poor = run.for_poor.path if run.for_poor else None
    return replace(run, records=Records(fingerprint(model.path, deciding, for_poor)))


def _by_one(console: Console, run: "Run", outcome: Outcome) -> None:
    from ..restoration import batch

    def waiting(number: int) -> None:
        outcome.wait(f"Waiting for {number} of {len(outcome.jobs)} files, on which another process works.")

    numbers = {job: number for number, job in enumerate(outcome.jobs, start=1)}
    batch.run(
        run,
        outcome.jobs,
        outcome.tell,
        lambda job: console.progress(
            f"{numbers[job]}/{len(numbers)} {job.source.name}", "frames" if job.clip else "tiles"
        ),
        waiting,
    )


def _by_several(console: Console, prepared: Prepared, outcome: Outcome) -> None:
    from ..restoration.workers import Team

    if any(job.piped_in or job.piped_out for job in outcome.jobs):
        raise UsageError("One picture in a pipe cannot be shared by several devices.", "Give one --device.")
    with _crew(prepared) as crew, console.progress(_several(crew.devices), "pictures") as progress:
        Team(crew, prepared.run).run(outcome.jobs, outcome.tell, progress)


@contextmanager
def _crew(prepared: Prepared) -> Iterator["Crew"]:
    import torch

    from ..restoration.processes import Processes
    from ..restoration.workers import Orders

    run, devices = prepared.run, prepared.devices
    orders = Orders(prepared.model, run.choices, run.records.fingerprint, torch.get_num_threads(), prepared.for_poor)
    if prepared.cluster is None:
        yield Processes(devices, replace(orders, threads=max(1, orders.threads // len(devices))))
        return
    from ..cluster.crew import assembled

    with assembled(prepared.cluster, devices, orders) as crew:
        yield crew


def _several(devices: Sequence[str]) -> str:
    return ", ".join(devices) if len(devices) <= MANY else f"{len(devices)} devices"
