"""Several devices share the pictures; what a process that dies had is done again."""

import atexit
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import torch

from mambair_cli.errors import DeviceError
from mambair_cli.images.decode import decode
from mambair_cli.restoration import processes, workers
from mambair_cli.restoration.choices import Choices
from mambair_cli.restoration.picture import Run
from mambair_cli.restoration.result import Job
from tests.cli.named_pipes import TIMEOUT, open_files, opened
from tests.cli.run import run
from tests.data.pictures import natural, write


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """As each process has; sums of several threads are rounded otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for number in range(6):
        write(Path("in") / f"{number}.png", natural(number, 12, 14))
    yield
    assert not _workers(psutil.Process())


def _workers(process: psutil.Process) -> list[psutil.Process]:
    """The processes that restore."""
    return [child for child in process.children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]


@contextmanager
def started(model: Path, *inputs: str) -> Iterator["subprocess.Popen[str]"]:
    """Two processes and their parent."""
    command = [sys.executable, "-m", "mambair_cli", "upscale", *inputs, "-o", "out/", "--model", str(model), "--json"]
    with subprocess.Popen(
        [*command, "--device", "cpu,cpu"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.usefixtures("_one_thread")
def test_the_results_are_those_of_one_process_in_the_same_order(x2: Path) -> None:
    Path("in/bad.png").write_bytes(b"bad")
    alone = run("upscale", "in", "-o", "alone", "--model", str(x2), "--json")
    shared = run("upscale", "in", "-o", "out", "--model", str(x2), "--json", "--device", "cpu,cpu")
    assert (alone.code, shared.code) == (1, 1)
    assert "in/bad.png is not an image" in shared.err
    records = [[json.loads(line) for line in outcome.out.splitlines()] for outcome in (alone, shared)]
    assert [record["input"] for record in records[0]] == [record["input"] for record in records[1]]
    for number in range(6):
        name = f"{number}_x2.png"
        assert (Path("out") / name).read_bytes() == (Path("alone") / name).read_bytes()


@pytest.mark.parametrize("devices", ["cpu,gpu", "cpu,", "CPU,cpu"])
def test_what_is_no_device_starts_no_process(devices: str, x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes.Processes, "start", lambda *arguments: pytest.fail("a process was started"))
    outcome = run("upscale", "in", "-o", "out", "--model", str(x2), "--device", devices)
    assert (outcome.code, outcome.out) == (1, "")
    assert "is not available here" in outcome.err


def test_a_process_that_is_stopped_after_its_work_says_nothing(capfd: pytest.CaptureFixture[str], x2: Path) -> None:
    """Python is still busy with its own end then, and would print what a signal raises."""
    process = multiprocessing.get_context("spawn").Process(target=_stopped_in_the_end, args=(str(x2),))
    process.start()
    process.join(TIMEOUT)
    assert (process.exitcode, capfd.readouterr().err) == (-signal.SIGTERM, "")


def _stopped_in_the_end(model: str) -> None:
    """What a process does whose device is not there."""
    atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))
    ours, theirs = multiprocessing.Pipe()
    processes._serve(theirs, "cuda:77", workers.Orders(model, Choices(), None, 1))
    assert isinstance(ours.recv(), DeviceError)


def test_a_device_that_is_not_there(x2: Path) -> None:
    outcome = run("upscale", "in", "-o", "out", "--model", str(x2), "--device", "cpu,cuda:77")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines() == [
        "Error: The device cuda:77 is not available here.",
        "Hint: Use --device auto or cpu.",
    ]
    assert not Path("out").exists()


def test_no_picture_is_handed_out_before_every_device_is_known_to_work() -> None:
    """Else a fast device does all, and whether the user hears of one that is not there is left to chance."""
    crew = processes.Processes(["cpu", "cuda:77"], workers.Orders("", Choices(), None, 1))
    team = workers.Team(crew, Run(None, Choices()))  # type: ignore[arg-type]
    team.jobs, team.attempts = [Job(Path("a.png"), Path("b.png"))], [0]
    team.queue.append(0)
    ends = [multiprocessing.Pipe() for _ in crew.devices]
    for name, end in zip(crew.devices, ends, strict=True):
        team.workers.append(processes.Process(device=name, first=True, process=None, connection=end[0]))  # type: ignore[arg-type]
    team.workers[0].ready = True
    team._hand_out()
    assert not ends[0][1].poll()
    team.workers[1].ready = True
    team._hand_out()
    assert ends[0][1].recv().source == Path("a.png")


def test_a_killed_process_and_a_picture_that_kills(x2: Path) -> None:
    """The processes wait for pictures from pipes, so that it is known when they have one."""
    os.mkfifo("pipe.png")
    os.mkfifo("poison.png")
    data = Path("in/0.png").read_bytes()
    with started(x2, "pipe.png", "poison.png", "in") as process:
        parent = psutil.Process(process.pid)
        _kill_reader(parent, "pipe.png")
        with opened("pipe.png") as pipe:
            os.write(pipe, data)
        _kill_reader(parent, "poison.png")  # was in the hands of the first that died, too
        out, err = process.communicate(timeout=TIMEOUT)
    records = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 1, err
    assert [record["input"] for record in records] == ["pipe.png", "poison.png", *(f"in/{n}.png" for n in range(6))]
    failed = {record["input"]: record["error"] for record in records if record["error"]}
    assert failed == {"poison.png": "The process that restored poison.png died."}
    assert "Traceback" not in err
    assert decode(Path("out/pipe_x2.png")).pixels.shape == (24, 28, 3)
    assert not list(Path().rglob(".mambair-*"))


def _kill_reader(parent: psutil.Process, name: str) -> None:
    """Kill the worker that waits for ``name``."""
    with opened(name):
        readers = [worker for worker in _workers(parent) if name in open_files(worker)]
        assert len(readers) == 1
        readers[0].kill()
        readers[0].wait(TIMEOUT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_end_of_the_parent_is_the_end_of_all(number: signal.Signals, x2: Path) -> None:
    os.mkfifo("pipe.png")
    with started(x2, "pipe.png", "in") as process, opened("pipe.png"):
        workers = _workers(psutil.Process(process.pid))
        assert len(workers) == 2
        process.send_signal(number)
        code = process.wait(TIMEOUT)
        alive = psutil.wait_procs(workers, timeout=TIMEOUT)[1]
        assert not alive
        assert process.stderr is not None
        err = process.stderr.read()
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert "Traceback" not in err
