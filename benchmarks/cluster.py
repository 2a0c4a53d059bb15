"""What a cluster costs: pictures a second with and without Ray, memory of the driver, bytes that travel.

``python -m benchmarks.cluster FOLDER --pictures 60 --edge 384 --rounds 2`` makes pictures in FOLDER and starts two
nodes of one processor each as processes of this machine, whose workers are set against ``--device cpu,cpu``.
``--faults`` kills workers and the driver of four nodes in place of that, goes on, and compares the results.
"""

import argparse
import json
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from mambair_cli.restoration.result import Job, Result

STORE = 100 * 2**20
WARM = 6
"""Pictures before the clock starts, so that the start of workers does not count."""


@contextmanager
def nodes(count: int) -> Iterator[str]:
    """The address of a cluster."""
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE})
    for _ in range(count):
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
    cluster.wait_for_nodes()
    try:
        yield cluster.address
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


def measured(folder: Path, *options: str) -> dict[str, Any]:
    """Pictures a second after the first, and the memory of the driver when a tenth and all are done, MiB."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    command = [sys.executable, "-m", "mambair_cli", "upscale", "in", "-o", "out", "--scale", "2", "--json", *options]
    total = len(list((folder / "in").iterdir()))
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    times: list[float] = []
    memory: list[float] = []
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
    if len(times) != total:
        raise SystemExit(f"{len(times)} of {total} pictures came out of {' '.join(command)}")
    speed = (total - 1 - WARM) / (times[-1] - times[WARM])
    return {"pictures a second": speed, "driver MiB": [memory[total // 10], memory[-1]], "longest line": longest}


def _killed_while(folder: Path, options: list[str], kill_at: list[int], driver_at: int | None) -> list[dict[str, Any]]:
    """Lines of a run of which a worker is killed after as many lines as ``kill_at`` says, and the driver in the end."""
    command = [sys.executable, "-m", "mambair_cli", "upscale", "in", "--scale", "2", "--json", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    records: list[dict[str, Any]] = []
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            records.append(json.loads(line))
            if len(records) in kill_at:
                workers = [each for each in psutil.process_iter() if "ray::Actor" in each.name()]
                workers[0].kill()
            if len(records) == driver_at:
                process.kill()
                break
    return records


def faults(folder: Path, address: str) -> None:
    """Print what came out of a run whose workers and driver die, against one without Ray.

    Raises:
        SystemExit: it is not the same.
    """
    total = len(list((folder / "in").iterdir()))
    options = ["-o", "out", "--resume", "--cluster", address]
    first = _killed_while(folder, options, [total // 8, total // 4], total // 2)
    time.sleep(5)  # the cluster notices that its driver is gone
    second = _killed_while(folder, options, [total * 5 // 8], None)
    alone = _killed_while(folder, ["-o", "alone", "--device", "cpu"], [], None)
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
    given = parser.parse_args()
    make(given.folder, given.pictures, given.edge)
    if given.faults:
        with nodes(4) as address:
            faults(given.folder, address)
        return
    print(f"{travels()} bytes travel per picture")
    with nodes(2) as address:
        speeds: dict[str, list[float]] = {"processes": [], "cluster": []}
        for _ in range(given.rounds):
            for name, options in (("processes", ["--device", "cpu,cpu"]), ("cluster", ["--cluster", address])):
                found = measured(given.folder, *options)
                speeds[name].append(found["pictures a second"])
                print(name, json.dumps(found), flush=True)
        print("object stores:", stored(address))
    plain, ray = (statistics.median(speeds[name]) for name in ("processes", "cluster"))
    print(f"medians: {plain:.3f} and {ray:.3f} pictures a second, {plain / ray - 1:+.1%} time")


if __name__ == "__main__":
    main()
