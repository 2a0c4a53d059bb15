"""Folders over Ray: the same files, lines and messages as without it, whoever dies."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from mambair_cli.cluster.crew import NodeShare, _shares
from mambair_cli.errors import DeviceError
from tests.cli.named_pipes import TIMEOUT, open_files, opened
from tests.cli.run import run
from tests.data.pictures import natural, write

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves pipes of its processes open in ours
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MANY = 200
RAY_TIMEOUT = 240
"""Seconds; Ray takes up to 40 to find out that a node is gone."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that works not and two nodes of one processor, as processes of this machine."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mambair[cluster]'")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster

        small = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
        made: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        made.wait_for_nodes()
        yield made
        made.shutdown()


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(6):
        write(Path("in") / f"{number}.png", natural(number, 12, 14))


@contextmanager
def started(model: Path, *arguments: str, cluster: str) -> Iterator["subprocess.Popen[str]"]:
    """A driver, killed in the end."""
    command = [
        sys.executable,
        "-m",
        "mambair_cli",
        "upscale",
        *arguments,
        "-o",
        "out/",
        "--model",
        str(model),
        "--json",
    ]
    with subprocess.Popen(
        [*command, "--json", "--cluster", cluster], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(model: Path, *arguments: str, cluster: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, lines and messages of a run."""
    with started(model, *arguments, cluster=cluster) as process:
        out, err = process.communicate(timeout=RAY_TIMEOUT)
    assert "Traceback" not in err
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def same_as_alone(model: Path, *inputs: str) -> None:
    """Compare ``out`` with what one process makes: of one thread, as on the nodes, or sums are rounded otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert run("upscale", *inputs, "-o", "alone/", "--model", str(model), "--device", "cpu").code == 0
    torch.set_num_threads(threads)
    made = {path.name: path.read_bytes() for path in Path("out").iterdir() if path.suffix == ".png"}
    assert made == {path.name: path.read_bytes() for path in Path("alone").iterdir()}


def actors() -> list[psutil.Process]:
    """The processes that restore; Ray names them so."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if "ray::Actor" in " ".join(process.cmdline()):
                found.append(process)
    return found


def holder(name: str) -> psutil.Process:
    """Who waits for a pipe."""
    found = [process for process in actors() if name in open_files(process)]
    assert len(found) == 1
    return found[0]


@pytest.mark.usefixtures("_folder")
def test_two_hundred_pictures_are_those_of_one_process(cluster: Any, x2: Path) -> None:
    for number in range(6, MANY):
        write(Path("in") / f"{number}.png", natural(number, 12, 14))
    code, records, err = finished(x2, "in", cluster=cluster.address)
    assert (code, len(records)) == (0, MANY), err
    assert [record["input"] for record in records] == sorted(record["input"] for record in records)
    same_as_alone(x2, "in")
    assert not list(Path("out").glob(".mambair-*"))


@pytest.mark.usefixtures("_folder")
def test_a_killed_worker_and_a_picture_that_kills(cluster: Any, x2: Path) -> None:
    os.mkfifo("pipe.png")
    os.mkfifo("poison.png")
    data = Path("in/0.png").read_bytes()
    with started(x2, "pipe.png", "poison.png", "in", cluster=cluster.address) as process:
        _kill_holder("pipe.png")
        with opened("pipe.png") as pipe:
            os.write(pipe, data)
        _kill_holder("poison.png")  # was in the hands of the first that died, too
        out, err = process.communicate(timeout=RAY_TIMEOUT)
    records = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 1, err
    assert [record["input"] for record in records] == ["pipe.png", "poison.png", *(f"in/{n}.png" for n in range(6))]
    failed = {record["input"]: record["error"] for record in records if record["error"]}
    assert failed == {"poison.png": "The process that restored poison.png died."}
    assert "Traceback" not in err
    assert not list(Path("out").glob(".mambair-*"))


def _kill_holder(name: str) -> None:
    with opened(name):
        process = holder(name)
        process.kill()
        process.wait(TIMEOUT)


@pytest.mark.usefixtures("_folder")
def test_an_interrupted_driver_leaves_nothing_half_done(cluster: Any, x2: Path) -> None:
    os.mkfifo("pipe.png")
    with started(x2, "pipe.png", "in", cluster=cluster.address) as process, opened("pipe.png"):
        holder("pipe.png")
        process.send_signal(signal.SIGTERM)
        assert process.wait(RAY_TIMEOUT) == 128 + signal.SIGTERM
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    psutil.wait_procs(actors(), timeout=TIMEOUT)
    assert not actors()
    assert not list(Path().rglob(".mambair-*.part"))


@pytest.mark.usefixtures("_folder")
def test_a_killed_driver_and_resume(cluster: Any, x2: Path) -> None:
    os.mkfifo("pipe.png")
    with started(x2, "in", "pipe.png", "--resume", cluster=cluster.address) as process, opened("pipe.png"):
        holder("pipe.png")
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())["output"]
        process.kill()
    psutil.wait_procs(actors(), timeout=TIMEOUT)
    assert not actors()
    code, records, err = finished(x2, "in", "--resume", cluster=cluster.address)
    assert (code, len(records)) == (0, 6), err
    assert told in [record["output"] for record in records if record["skipped"]]
    same_as_alone(x2, "in")


@pytest.mark.parametrize("killed", [False, True])
def test_one_picture_is_divided_and_the_rows_of_a_lost_worker_are_made_again(
    cluster: Any, x2: Path, killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that has it holds a lock beside the result."""
    monkeypatch.chdir(tmp_path)
    write(Path("in/large.png"), natural(1, 260, 200))
    arguments = ("in", "--tile", "32")
    with started(x2, *arguments, "--resume", cluster=cluster.address) as process:
        if killed:
            _kill_helper()
        out, err = process.communicate(timeout=RAY_TIMEOUT)
    record = json.loads(out)
    assert (process.returncode, record["error"]) == (0, None), err
    assert record["workers"] == 2 or killed
    same_as_alone(x2, *arguments)


def _kill_helper() -> None:
    """Kill the worker that does not hold the result, once it has begun to work for the other."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        found = actors()
        leading = [each for each in found if any(".lock" in name for name in open_files(each))]
        if leading and len(found) == 2:
            helper = next(each for each in found if each not in leading)
            before = helper.cpu_times().user
            while helper.cpu_times().user < before + 0.1 and time.monotonic() < end:
                time.sleep(0.01)
            helper.kill()
            return
        time.sleep(0.02)
    raise AssertionError("nobody helps")


def test_data_prepared_on_nodes_is_that_of_one_process(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(9):
        write(Path("in") / f"{number}.png", natural(number, 48, 50))
    Path("in/bad.png").write_bytes(b"bad")
    tasks = (["sr", "in"], ["noise", "in", "--sigma", "25"], ["crops", "in", "--size", "24", "--step", "12"])
    for number, (task, *arguments) in enumerate(tasks):
        if number:
            Path("in/bad.png").unlink(missing_ok=True)
        command = ["data", "prepare", task, *arguments, "--json"]
        alone = run(*command, "-o", f"alone/{task}")
        shared = subprocess.run(
            [sys.executable, "-m", "mambair_cli", *command, "-o", f"shared/{task}", "--cluster", cluster.address],
            capture_output=True,
            text=True,
            timeout=RAY_TIMEOUT,
        )
        assert (shared.returncode, "Traceback" in shared.stderr) == (alone.code, False), shared.stderr
        assert json.loads(shared.stdout) == json.loads(alone.out) | {"output": f"shared/{task}"}
    made, wanted = (
        {path.relative_to(folder): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
        for folder in ("shared", "alone")
    )
    assert made == wanted
    assert len(made) > 9 * (4 + 1 + 4)


@pytest.mark.usefixtures("_folder")
def test_a_killed_node(cluster: Any, x2: Path) -> None:
    """Its pictures are done by the other one. It is the last test with this cluster that needs both."""
    os.mkfifo("pipe.png")
    data = Path("in/0.png").read_bytes()
    with started(x2, "pipe.png", "in", cluster=cluster.address) as process:
        with opened("pipe.png"):
            worker = holder("pipe.png")
            raylet = worker.parent()
            assert raylet is not None
            node = next(node for node in cluster.worker_nodes if _raylet(node) == raylet.pid)
            cluster.remove_node(node, allow_graceful=False)
            worker.wait(TIMEOUT)
        with opened("pipe.png") as pipe:
            os.write(pipe, data)
        out, err = process.communicate(timeout=RAY_TIMEOUT)
    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    assert process.returncode == 0, err
    assert len(out.splitlines()) == 7
    assert {Path(json.loads(line)["output"]).name for line in out.splitlines()} == {
        path.name for path in Path("out").glob("*.png")
    }


@pytest.mark.usefixtures("_folder")
def test_a_node_of_which_ray_does_not_know_yet_that_it_is_gone(cluster: Any, x2: Path) -> None:
    cluster.remove_node(cluster.worker_nodes.copy().pop(), allow_graceful=False)
    code, records, err = finished(x2, "in", cluster=cluster.address)
    cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    assert (code, len(records)) == (0, 6), err
    same_as_alone(x2, "in")


def _raylet(node: Any) -> int:
    from ray._private import ray_constants

    return int(node.all_processes[ray_constants.PROCESS_TYPE_RAYLET][0].process.pid)


@pytest.mark.usefixtures("_folder")
def test_a_cluster_started_for_the_run(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mambair[cluster]'")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    Path("in/bad.png").write_bytes(b"bad")
    code, records, err = finished(x2, "in", cluster="local")
    assert (code, len(records)) == (1, 7)
    assert [record["input"] for record in records if record["error"]] == ["in/bad.png"]
    assert "1 of 7 files failed: in/bad.png." in err


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket on a server of this machine that speaks S3, whose address libraries find in the environment."""
    server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'moto[server]'")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install s3fs")
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "a",
        "AWS_DEFAULT_REGION": "us-east-1",
        "RAY_AUTH_MODE": "disabled",
    }.items():
        monkeypatch.setenv(name, value)
    store = s3fs.S3FileSystem(endpoint_url=f"http://{host}:{port}", key="a", secret="a", skip_instance_cache=True)
    store.mkdir("shop")
    yield store
    running.stop()


@pytest.mark.usefixtures("_folder")
def test_workers_read_from_and_write_to_a_store(bucket: Any, x2: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mambair[cluster]'")
    bucket.put("in", "shop/in", recursive=True)

    def skipped() -> list[bool]:
        command = [sys.executable, "-m", "mambair_cli", "upscale", "s3://shop/in", "-o", "s3://shop/out"]
        options = ["--model", str(x2), "--json", "--resume", "--cluster", "local", "--device", "cpu,cpu"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=RAY_TIMEOUT)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        return [json.loads(line)["skipped"] for line in done.stdout.splitlines()]

    assert skipped() == [False] * 6
    bucket.put("in/1.png", "shop/in/2.png")
    bucket.rm("shop/out/4_x2.png")
    assert skipped() == [number not in (2, 4) for number in range(6)]
    write(Path("in/2.png"), natural(1, 12, 14))
    bucket.get("shop/out", "out", recursive=True)
    same_as_alone(x2, "in")


@pytest.mark.usefixtures("_folder")
def test_without_ray(x2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = run("upscale", "in", "-o", "out", "--model", str(x2), "--cluster", "local")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines() == [
        "Error: A cluster needs Ray, which is not installed.",
        "Hint: Install it on every node: pip install 'mambair[cluster]'.",
    ]


@pytest.mark.usefixtures("_folder")
def test_a_number_of_a_device_says_nothing_to_a_cluster(x2: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mambair[cluster]'")
    outcome = run("upscale", "in", "-o", "out", "--model", str(x2), "--cluster", "local", "--device", "cuda:1")
    assert outcome.code == 2
    assert "--device cuda:1 says nothing to a cluster." in outcome.err


@pytest.mark.usefixtures("_folder")
def test_an_address_of_rays_client_is_refused(x2: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'mambair[cluster]'")
    outcome = run("upscale", "in", "-o", "out", "--model", str(x2), "--cluster", "ray://127.0.0.1:10001")
    assert outcome.code == 2
    assert "ray://127.0.0.1:10001 is an address of Ray's client" in outcome.err


def _node(name: str, **resources: float) -> dict[str, Any]:
    return {
        "NodeID": name,
        "Alive": name != "gone",
        "NodeManagerAddress": "10.0.0.1",
        "NodeManagerPort": name,
        "Resources": resources,
    }


NODES = [_node("a", CPU=16, GPU=2), _node("b", CPU=8), _node("gone", CPU=8, GPU=8), _node("head")]


@pytest.mark.parametrize(
    ("devices", "names", "cpus"),
    [
        (["auto"], ["cuda on 10.0.0.1:a"] * 2, [8, 8]),
        (["cuda"], ["cuda on 10.0.0.1:a"] * 2, [8, 8]),
        (["cpu"], ["cpu on 10.0.0.1:a", "cpu on 10.0.0.1:b"], [16, 8]),
        (["cpu", "cpu"], ["cpu on 10.0.0.1:a"] * 2 + ["cpu on 10.0.0.1:b"] * 2, [8, 8, 4, 4]),
    ],
)
def test_a_worker_per_gpu_or_per_share_of_the_processors(
    devices: list[str], names: list[str], cpus: list[float]
) -> None:
    found, places = _shares(NODES, devices)
    assert found == names
    assert [places[name].cpus for name in found] == cpus


def test_more_workers_than_processors() -> None:
    assert _shares([_node("a", CPU=1)], ["cpu", "cpu"])[1] == {"cpu on 10.0.0.1:a": NodeShare("a", "cpu", 0.5)}


@pytest.mark.parametrize(("nodes", "device"), [(NODES[1:2], "cuda"), (NODES[2:], "auto"), ([], "cpu")])
def test_a_cluster_without_the_device(nodes: list[dict[str, Any]], device: str) -> None:
    with pytest.raises(DeviceError, match="No node of the cluster has a"):
        _shares(nodes, [device])
