"""Work that is killed (kill -9) at random moments and started again until it ends: is the result that of a calm run?

python -m benchmarks.killed train|team|fetch|upscale [--kills 50] [--seed 0]

``team`` is a training of two processes, of which the launcher or a rank is killed. Once the work has ended, its result
is compared, thrown away, and made again, until that many kills are done. Prints what was found, and ends with 1 if any
promise was broken. See also benchmarks.interrupted, for large folders with broken pictures.
"""

import argparse
import io
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import torch
import yaml

from benchmarks import tiny
from mambair_cli.entry import main as main_of_mambair
from mambair_cli.errors import ModelError
from mambair_cli.training import checkpoints
from mambair_cli.training.basicsr import bridge

PATIENCE = 40
"""Seconds in which the rest of a team must have ended after one of it was killed."""

MARK = "MAMBAIR_BENCHMARK_RUN"

Results = dict[str, bytes]


@dataclass
class Work:
    """Something that is done in a folder.

    Attributes:
        command: after ``mambair``.
        folder: that it fills.
        results: what is in place, by path.
        faults: what is wrong with the folder right after a kill, by what a calm run leaves.
        team: whether any of its processes may be killed.
    """

    command: list[str]
    folder: Path
    results: Callable[[Path], Results]
    faults: Callable[[Path, Results], list[str]]
    team: bool = False


def files(folder: Path) -> Results:
    """All but what is hidden, partial, or a record."""
    found = (path for path in folder.rglob("*") if path.is_file())
    kept = (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept if path.suffix != ".part"}


def half(folder: Path, calm: Results) -> list[str]:
    """Files in place that are not those of a calm run."""
    return [f"half-written: {name}" for name, content in files(folder).items() if calm.get(name) != content]


def weights(folder: Path) -> Results:
    """The last weights of a training, and the numbers of its log but those of its speed."""
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    latest = folder / "models/net_g_latest.pth"
    return {"weights": latest.read_bytes(), "log": json.dumps(rows).encode()}


def unusable(folder: Path, calm: Results) -> list[str]:
    """Checkpoints that cannot be gone on from, and rows of the log that are none."""
    faults: list[str] = []
    if folder.exists():
        try:
            checkpoints.newest(folder, faults.append)
        except ModelError as error:
            faults.append(error.message)
    log = folder / "log.jsonl"
    for line in log.read_text().splitlines()[:-1] if log.exists() else ():  # the last may stop short
        try:
            json.loads(line)
        except ValueError:
            faults.append(f"no row of a log: {line!r}")
    return faults


def training(place: Path, processes: int) -> Work:
    """A few seconds of a tiny network."""
    tiny.pictures(place / "photos", 6, 32, 32)
    data = {"name": "photos", "type": "PhotoPatchDataset", "dataroot_gt": str(place / "photos"), "gt_size": 16}
    data |= {"degradation": {"type": "bicubic"}, "batch_size_per_gpu": 2, "patches_per_photo": 4}
    recipe = {
        "name": "killed",
        "model_type": "MambaIRModel",
        "scale": 2,
        "num_gpu": 0,
        "datasets": {"train": data},
        "network_g": {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 2},
        "train": {
            "total_iter": 80,
            "ema_decay": 0.9,
            "keep_last": 2,
            "optim_g": {"type": "Adam", "lr": 0.001},
            "scheduler": {"type": "CosineAnnealingRestartLR", "periods": [80]},
            "pixel_opt": {"type": "L1Loss"},
        },
        "logger": {"print_freq": 10, "save_checkpoint_freq": 10},
    }
    file = place / "recipe.yml"
    file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    more = ["--nproc", str(processes)] if processes > 1 else []
    return Work(["train", str(file), *more], place / "experiments/killed", weights, unusable, processes > 1)


class Slow(BaseHTTPRequestHandler):
    """Serves one archive, parts of it too, in pieces."""

    protocol_version = "HTTP/1.1"
    content = b""

    def do_HEAD(self) -> None:
        """Headers alone."""
        self._head()

    def do_GET(self) -> None:
        """From where the client left off."""
        body = self.content[self._head() :]
        try:
            for start in range(0, len(body), 1 << 18):
                self.wfile.write(body[start : start + (1 << 18)])
                time.sleep(0.02)
        except OSError:
            self.close_connection = True  # the client was killed

    def _head(self) -> int:
        wanted = self.headers.get("Range", "bytes=0-")
        start = int(wanted.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"1"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.end_headers()
        return start

    def handle(self) -> None:
        """Until the client is gone, killed perhaps."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@contextmanager
def served(content: bytes) -> Iterator[str]:
    """The address of an archive on this machine."""
    handler = type("Handler", (Slow,), {"content": content})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/pictures.zip"
        server.shutdown()


def archive(rng: random.Random) -> bytes:
    """A zip of 200 files, 20 MB."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        for number in range(200):
            file.writestr(f"pictures/{number % 10}/{number}.bin", rng.randbytes(100_000))
    return memory.getvalue()


@contextmanager
def chosen(kind: str, place: Path, rng: random.Random) -> Iterator[Work]:
    """One of the four, with what it needs."""
    if kind in ("train", "team"):
        yield training(place, 1 + (kind == "team"))
    elif kind == "fetch":
        with served(archive(rng)) as address:
            yield Work(["fetch", address, "--root", str(place / "root")], place / "root", files, half)
    else:
        tiny.pictures(place / "in", 60, 40, 50)
        given = [str(place / "in"), "-o", str(place / "out"), "--model", str(tiny.model(place)), "--resume"]
        yield Work(["upscale", *given, "--device", "cpu"], place / "out", files, half)


class Run:
    """One run, whose processes bear its mark in their environment, so that what stays of it can be found.

    It is forked from this process, which has imported everything: most moments would else be those of imports.
    """

    def __init__(self, work: Work, place: Path) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            _become(work, place)

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit status, negative for a signal; None if it still runs after ``seconds``."""
        end = time.monotonic() + (math.inf if seconds is None else seconds)
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                return None
            time.sleep(0.01)


def _become(work: Work, place: Path) -> None:
    """``mambair``; never returns."""
    code = 1
    try:
        os.setsid()
        os.environ[MARK] = str(os.getpid())
        os.chdir(place)
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(said, stream)
        sys.argv = ["mambair", "--no-progress", *work.command]
        main_of_mambair()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        os._exit(code)


def members(run: int) -> list[psutil.Process]:
    """Processes of a run that still run; ranks have sessions of their own."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.pid == run or process.environ().get(MARK) == str(run)
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def killed(work: Work, process: Run, rng: random.Random) -> list[str]:
    """Kill it, or any of its team; what of it stays is a fault."""
    victims = members(process.pid) if work.team else []
    victim = rng.choice(victims).pid if victims else process.pid
    os.kill(victim, signal.SIGKILL)
    process.wait(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while (left := members(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    faults = []
    for one in left:
        with suppress(psutil.Error):  # it has ended since
            faults.append(f"still running: {' '.join(one.cmdline())}")
            one.kill()
    return faults


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("train", "team", "fetch", "upscale"))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=450, help="begin nothing new after them")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    torch.set_num_threads(1)
    if arguments.kind == "train":
        bridge.load()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, chosen(arguments.kind, Path(name), rng) as work:
        place = Path(name)
        calmly = time.monotonic()
        code = Run(work, place).wait()
        span = time.monotonic() - calmly
        if code:
            sys.exit(f"the calm run failed: {(place / 'said.txt').read_text()}")
        calm = work.results(work.folder)
        shutil.rmtree(work.folder)
        kills, ends, faults = 0, 0, []
        while kills < arguments.kills or work.folder.exists():
            process = Run(work, place)
            late = kills >= arguments.kills or time.monotonic() - began > arguments.seconds
            code = process.wait(None if late else rng.uniform(0, 1.2 * span))
            if code is None:
                found = [*killed(work, process, rng), *work.faults(work.folder, calm)]
                faults += [f"kill {kills}: {fault}" for fault in found]
                kills += 1
                continue
            ends += 1
            if code:
                faults.append(f"after kill {kills}: ended with {code}: {(place / 'said.txt').read_text()[-500:]}")
            elif work.results(work.folder) != calm:
                faults.append(f"after kill {kills}: not the result of the calm run")
            faults += [f"after kill {kills}: left {path.name}" for path in work.folder.rglob("*.part")]
            shutil.rmtree(work.folder, ignore_errors=True)
            if late:
                break
    print(f"{arguments.kind}: {kills} kills, {ends} runs to the end, calm {span:.1f} s")
    print("\n".join(f"BROKEN PROMISE: {fault}" for fault in faults) or "every promise kept")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
