"""What a cluster costs: pictures a second with and without Ray, memory of the driver, bytes that travel.

``python -m benchmarks.cluster FOLDER --pictures 60 --edge 384 --rounds 2`` makes pictures in FOLDER and starts two
nodes of one processor each as processes of this machine, whose workers are set against ``--device cpu,cpu``.
``--faults`` kills workers, a node and the driver of a cluster of four nodes in place of that, goes on, and compares the
results. ``--large`` divides one picture among the workers of three nodes, kills one of them, and compares the result.
"""

import argparse
import json
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from mambair_cli.cluster.connection import NICENESS
from mambair_cli.restoration.result import Job, Result

CAT = Path(__file__).parents[1] / "datasets" / "samples" / "cat.png"
STORE = 100 * 2**20
WARM = 6
"""Pictures before the clock starts, so that the start of workers does not count."""
HELPED = 60
"""Seconds after which a worker that helps with a picture is killed."""


@contextmanager
def nodes(count: int) -> Iterator[Any]:
    """A cluster of a head that works not and ``count`` nodes of one processor."""
    os.environ[NICENESS] = "0"  # or Ray's workers give way to everything else, which processes do not
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE})
    for _ in range(count):
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    try:
        yield cluster
    finally:
        cluster.shutdown()


def stored(address: str) -> str:
    """What Ray says of its object stores."""
    script = "import ray, sys; from ray._private.internal_api import memory_summary as m; ray.init(sys.argv[1]); "
    script += "print(m(stats_only=True))"
    done = subprocess.run([sys.executable, "-c", script, address], capture_output=True, text=True, check=True)
    return " | ".join(line for line in done.stdout.splitlines() if line.strip())


def make(folder: Path, pictures: int, edge: int) -> None:
    """Smooth noise, the same each time."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(pictures):
        pixels = cv2.GaussianBlur(random.integers(0, 256, (edge, edge, 3), dtype=np.uint8), (0, 0), 2)
        cv2.imwrite(str(folder / "in" / f"{number:05}.png"), pixels)


def _used(driver: psutil.Process) -> tuple[float, float]:
    """Processor seconds of a run: of its driver and its workers, and of Ray's own processes."""
    workers = [driver, *driver.children(recursive=True), *_actors()]
    others = set(psutil.Process().children(recursive=True)) - set(workers)
    return _seconds(workers), _seconds(others)


def _seconds(processes: Iterable[psutil.Process]) -> float:
    times = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times += sum(process.cpu_times()[:2])
    return times


def measured(folder: Path, *options: str) -> dict[str, Any]:
    """Pictures a second after the first, and the memory of the driver when a tenth and all are done, MiB.

    Processor seconds for each picture are those of driver and workers. What Ray's own processes take depends on time,
    not on pictures: it is the share of a core.
    """
    shutil.rmtree(folder / "out", ignore_errors=True)
    command = [sys.executable, "-m", "mambair_cli", "upscale", "in", "-o", "out", "--scale", "2", "--json", *options]
    total = len(list((folder / "in").iterdir()))
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    times: list[float] = []
    memory: list[float] = []
    used: list[tuple[float, float]] = []
    longest = 0
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        driver = psutil.Process(process.pid)
        for line in process.stdout:
            record = json.loads(line)
            if record["error"]:
                raise SystemExit(f"{record['input']}: {record['error']}")
            longest = max(longest, len(line))
            times.append(time.monotonic())
            memory.append(driver.memory_info().rss / 2**20)
            if len(times) in (WARM + 1, total):
                used.append(_used(driver))
    if len(times) != total:
        raise SystemExit(f"{len(times)} of {total} pictures came out of {' '.join(command)}")
    elapsed, pictures = times[-1] - times[WARM], total - 1 - WARM
    each, own = (end - begin for begin, end in zip(*used, strict=True))
    return {
        "pictures a second": pictures / elapsed,
        "processor seconds each": each / pictures,
        "cores of Ray's own": own / elapsed,
        "driver MiB": [memory[total // 10], memory[-1]],
        "longest line": longest,
    }


Deeds = dict[int, Callable[["subprocess.Popen[str]"], None]]
"""What is done to a run after so many lines of it."""


def _actors() -> list[psutil.Process]:
    """Processes that restore; Ray names them so."""
    return [each for each in psutil.process_iter(["name"]) if "ray::Actor" in (each.info["name"] or "")]


def _worker(process: "subprocess.Popen[str]") -> None:
    _actors()[0].kill()


def _driver(process: "subprocess.Popen[str]") -> None:
    process.kill()


def _done(folder: Path, options: list[str], deeds: Deeds) -> list[dict[str, Any]]:
    """Lines of a run to which ``deeds`` are done."""
    command = [sys.executable, "-m", "mambair_cli", "upscale", "in", "--scale", "2", "--json", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    records: list[dict[str, Any]] = []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            records.append(json.loads(line))
            if deed := deeds.get(len(records)):
                deed(process)
    return records


def faults(folder: Path, cluster: Any) -> None:
    """Print what came out of a run of which two workers, a node and the driver die, against one without Ray.

    Raises:
        SystemExit: it is not the same.
    """
    total = len(list((folder / "in").iterdir()))
    options = ["-o", "out", "--resume", "--cluster", cluster.address]

    def node(process: "subprocess.Popen[str]") -> None:
        cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)

    first = _done(folder, options, {total // 8: _worker, total // 4: node, total // 2: _driver})
    time.sleep(5)  # the cluster notices that its driver is gone
    second = _done(folder, options, {total * 5 // 8: _worker})
    alone = _done(folder, ["-o", "alone", "--device", "cpu"], {})
    made, wanted = (
        {path.name: path.read_bytes() for path in (folder / name).glob("*.png")} for name in ("out", "alone")
    )
    failed = [record["error"] for record in (*first, *second, *alone) if record["error"]]
    skipped = sum(record["skipped"] for record in second)
    left = len(list((folder / "out").glob(".mambair-*")))
    print(f"{len(first)} told before the driver was killed, {len(second)} after, {skipped} of them skipped")
    print(f"{len(made)} of {total} results, equal: {made == wanted}, errors: {failed}, leftovers: {left}")
    if made != wanted or len(wanted) != total or failed or left:
        raise SystemExit("The results are not those of a run without Ray.")


def large(folder: Path, width: int, height: int, task: str) -> None:
    """Print what came out of one picture divided among three workers, of which one is killed, against one worker alone.

    Raises:
        SystemExit: it is not the same.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = folder / "large.tif"
    pixels: Any = cv2.resize(np.asarray(cv2.imread(str(CAT))), (width, height), interpolation=cv2.INTER_CUBIC)
    random = np.random.default_rng(0)
    for row in range(0, height, 500):
        grain = random.integers(-9, 10, pixels[row : row + 500].shape, dtype=np.int16)
        pixels[row : row + 500] = np.clip(pixels[row : row + 500] + grain, 0, 255)
    cv2.imwrite(str(source), pixels)
    del pixels
    with nodes(3) as cluster:
        threading.Thread(target=_helper_killed, args=(folder / "out",), daemon=True).start()
        divided = _told(folder, task, "-o", "out/", "--resume", "--cluster", cluster.address)
    one = _told(folder, task, "-o", "one/", "--device", "cpu")
    made, wanted = (sha256(Path(record["output"]).read_bytes()).hexdigest() for record in (divided, one))
    for name, record in (("divided", divided), ("one", one)):
        print(name, {key: record[key] for key in ("workers", "tiles", "seconds", "peak_memory", "notes", "error")})
    print(f"{width} x {height}, {task}: equal: {made == wanted}, SHA-256 {made}")
    if made != wanted:
        raise SystemExit("The result is not that of one worker.")


def _helper_killed(out: Path) -> None:
    """Kill a worker that does not hold the result, once one does."""
    while True:
        time.sleep(1)
        actors = _actors()
        leading = [each for each in actors if any(str(out) in file.path for file in each.open_files())]
        if leading and len(actors) == 3:
            time.sleep(HELPED)
            next(each for each in actors if each not in leading).kill()
            print("killed a worker that helped", flush=True)
            return


def _told(folder: Path, task: str, *options: str) -> dict[str, Any]:
    """The line of a run over one picture, with one thread for each worker."""
    command = [sys.executable, "-m", "mambair_cli", task, "large.tif", "--json", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    record: dict[str, Any] = json.loads(done.stdout)
    return record | {"output": str(folder / record["output"])}


def travels() -> int:
    """Bytes that go to a worker and back for a picture, pickled."""
    job = Job(Path("in/00000.png"), Path("out/00000_x2.png"))
    result = Result(str(job.source), str(job.target), "mambair-nano-x2", "cpu", 2)
    return len(pickle.dumps(job)) + len(pickle.dumps(result))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--edge", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--large", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--task", default="dehaze", help="of --large")
    given = parser.parse_args()
    if given.large:
        large(given.folder.resolve(), given.large[0], given.large[1], given.task)
        return
    make(given.folder, given.pictures, given.edge)
    if given.faults:
        with nodes(4) as cluster:
            faults(given.folder, cluster)
        return
    print(f"{travels()} bytes travel per picture")
    with nodes(2) as cluster:
        speeds: dict[str, list[float]] = {"processes": [], "cluster": []}
        costs: dict[str, list[float]] = {"processes": [], "cluster": []}
        for _ in range(given.rounds):
            for name, options in (("processes", ["--device", "cpu,cpu"]), ("cluster", ["--cluster", cluster.address])):
                found = measured(given.folder, *options)
                speeds[name].append(found["pictures a second"])
                costs[name].append(found["processor seconds each"])
                print(name, json.dumps(found), flush=True)
        print("object stores:", stored(cluster.address))
    plain, ray = (statistics.median(speeds[name]) for name in ("processes", "cluster"))
    print(f"medians: {plain:.3f} and {ray:.3f} pictures a second, {plain / ray - 1:+.1%} time")
    plain, ray = (statistics.median(costs[name]) for name in ("processes", "cluster"))
    print(f"medians: {plain:.3f} and {ray:.3f} processor seconds a picture, {ray / plain - 1:+.1%}")


if __name__ == "__main__":
    main()
