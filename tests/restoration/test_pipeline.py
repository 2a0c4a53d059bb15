"""The next picture is read and the last one written while the network works, in order and in bounded memory."""

import functools
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mambair_cli.files import outputs
from mambair_cli.images.decode import decode
from mambair_cli.images.encode import encode
from mambair_cli.restoration import picture as stages
from mambair_cli.restoration.batch import Pipeline, run
from mambair_cli.restoration.choices import Choices
from mambair_cli.restoration.picture import Run
from mambair_cli.restoration.result import Job, Result
from mambair_cli.weights.loader import load
from mambair_cli.weights.model import Model
from tests.data.pictures import natural, write

TIMEOUT = 20


@pytest.fixture(scope="module")
def model(checkpoint: Any) -> Model:
    return load(checkpoint(upscale=2), "cpu")


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[list[Job]]:
    sources = [write(tmp_path / "in" / f"{number}.png", natural(number, 6, 8)) for number in range(6)]
    yield [Job(source, tmp_path / "out" / source.name) for source in sources]
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("*.lock"))


def doubled(pixels: Any, *_: Any, **__: Any) -> Any:
    return pixels.repeat(2, 0).repeat(2, 1)


def restored(model: Model, jobs: list[Job], **choices: Any) -> list[tuple[str, Result]]:
    told: list[tuple[str, Result]] = []

    def tell(job: Job, result: Result) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append((job.source.name, result))

    run(
        Run(model, Choices(**choices)),
        jobs,
        tell,
        lambda job: nullcontext(lambda done, total: None),
        lambda number: pytest.fail("nobody else is here"),
    )
    return told


def test_reading_and_writing_happen_while_the_network_works(
    model: Model, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call of the network waits until the next picture is read and the last is written."""
    read = {job.source.name: threading.Event() for job in jobs}
    written = {job.target.name: threading.Event() for job in jobs}
    names = sorted(read)
    place, calls = outputs.place, iter(names)

    @functools.wraps(decode)
    def reading(path: Path, **options: Any) -> Any:
        picture = decode(path, **options)
        read[path.name].set()
        return picture

    def writing(temporary: Path, path: Path, overwrite: bool) -> None:
        place(temporary, path, overwrite)
        written[path.name].set()

    def network(pixels: Any, *_: Any, **__: Any) -> Any:
        number = names.index(next(calls))
        if number + 1 < len(names):
            assert read[names[number + 1]].wait(TIMEOUT)
        if number:
            assert written[names[number - 1]].wait(TIMEOUT)
        assert not any(read[name].is_set() for name in names[number + 2 :]), "more pictures in memory than needed"
        return doubled(pixels)

    monkeypatch.setattr(stages, "decode", reading)
    monkeypatch.setattr(outputs, "place", writing)
    monkeypatch.setattr(stages, "restore", network)
    assert [(name, result.error) for name, result in restored(model, jobs)] == [(name, None) for name in names]


def test_a_result_is_told_before_the_next_is_ready(
    model: Model, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def network(pixels: Any, *_: Any, progress: Any, **__: Any) -> Any:
        before = len(told)
        first = not any(Path(str(job.target)).exists() for job in jobs)
        for _attempt in range(TIMEOUT * 100):
            progress(1, 2)
            if first or len(told) > before:
                return doubled(pixels)
            threading.Event().wait(0.01)
        raise AssertionError("the last result was not told")

    monkeypatch.setattr(stages, "restore", network)
    queue = iter(jobs[:3])
    Pipeline(
        Run(model, Choices()),
        lambda job, result: told.append(job.source.name),
        lambda job: nullcontext(lambda done, total: None),
    ).run(lambda waiting: next(queue, None))
    assert told == [job.source.name for job in jobs[:3]]


def test_bad_pictures_keep_their_place(model: Model, jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "restore", doubled)
    for number in (0, 2, 3, 5):
        Path(str(jobs[number].source)).write_bytes(b"bad")
    results = restored(model, jobs)
    assert [name for name, _ in results] == [job.source.name for job in jobs]
    assert [number for number, (_, result) in enumerate(results) if result.error] == [0, 2, 3, 5]


def test_memory_that_was_short_while_another_picture_was_there(
    model: Model, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "restore", doubled)
    failed: set[Path] = set()

    @functools.wraps(decode)
    def short(path: Path, **options: Any) -> Any:
        if path.name in ("1.png", "2.png") and path not in failed:
            failed.add(path)
            raise MemoryError
        if path.name == "4.png":
            raise MemoryError
        return decode(path, **options)

    monkeypatch.setattr(stages, "decode", short)
    results = restored(model, jobs)
    assert [name for name, _ in results] == [job.source.name for job in jobs]
    assert [result.error is None for _, result in results] == [True, True, True, True, False, True]


@pytest.mark.parametrize("resume", [True, False])
def test_an_interruption_completes_what_is_written_and_nothing_else(
    resume: bool, model: Model, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter([doubled, doubled])

    def network(pixels: Any, *_: Any, **__: Any) -> Any:
        try:
            return next(calls)(pixels)
        except StopIteration:
            raise KeyboardInterrupt from None

    @functools.wraps(encode)
    def slow(*arguments: Any, **options: Any) -> bytes:
        threading.Event().wait(0.2)
        return encode(*arguments, **options)

    monkeypatch.setattr(stages, "restore", network)
    monkeypatch.setattr(stages, "encode", slow)
    with pytest.raises(KeyboardInterrupt):
        restored(model, jobs, resume=resume)
    out = Path(str(jobs[0].target.parent))
    assert {path.name for path in out.iterdir()} == {"0.png", "1.png"}
    assert np.array_equal(decode(out / "1.png").pixels, doubled(decode(Path(str(jobs[1].source))).pixels))


def test_an_interruption_before_a_thread_starts_leaves_nothing(
    model: Model, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    pipeline = Pipeline(Run(model, Choices()), lambda job, result: None, lambda job: nullcontext(print))
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(lambda waiting: jobs[0])
    assert not Path(str(jobs[0].target.parent)).exists()


def test_a_second_interruption_ends_the_patience(model: Model, jobs: list[Job]) -> None:
    class Slow(threading.Thread):
        def is_alive(self) -> bool:
            return True

        def join(self, timeout: float | None = None) -> None:
            raise KeyboardInterrupt

    pipeline = Pipeline(Run(model, Choices()), lambda job, result: None, lambda job: nullcontext(print))
    work = pipeline.of.new(jobs[0])
    work.begin()
    folder = Path(str(jobs[0].target.parent))
    assert list(folder.iterdir())
    pipeline.open.append(work)
    pipeline.writing = (Slow(), work)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(lambda waiting: None)
    assert not folder.exists()
