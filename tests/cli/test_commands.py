"""The commands on good input."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mambair_cli import __version__, load_model, restore
from mambair_cli.images.decode import decode
from mambair_cli.weights import catalog
from tests.cli.run import run


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in/deep").mkdir(parents=True)
    for name in ("one.png", "in/two.png", "in/deep/three.jpg"):
        cv2.imwrite(name, rng.integers(0, 256, (20, 30, 3), np.uint8))


def test_the_result_is_that_of_the_api_and_beside_the_input(x2: Path) -> None:
    outcome = run("upscale", "one.png", "--scale", "2", "--model", str(x2))
    assert (outcome.code, outcome.out) == (0, "one_x2.png\n")
    assert "one.png (30 x 20)" in outcome.err
    expected = restore(decode(Path("one.png")).pixels, load_model(x2))
    assert np.array_equal(decode(Path("one_x2.png")).pixels, expected)


@pytest.mark.parametrize(
    ("task", "name"), [("denoise", "one_denoised"), ("dejpeg", "one_dejpeg"), ("dehaze", "one_dehazed")]
)
def test_restoring_tasks_share_the_pipeline(task: str, name: str, x1: Path) -> None:
    outcome = run(task, "one.png", "--model", str(x1))
    assert (outcome.code, outcome.out) == (0, f"{name}.png\n")
    assert f"it is taken to {task}" in outcome.err
    assert decode(Path(f"{name}.png")).pixels.shape == (20, 30, 3)


def test_files_folders_and_patterns_go_to_a_folder_that_mirrors_the_tree(x2: Path) -> None:
    outcome = run("upscale", "on?.png", "in", "--model", str(x2), "-o", "out")
    assert outcome.code == 0
    results = {str(path) for path in Path("out").rglob("*.*")}
    assert results == {"out/one_x2.png", "out/two_x2.png", "out/deep/three_x2.png"}
    assert set(outcome.out.split()) == results


def test_results_in_a_folder_are_not_taken_for_inputs(x2: Path) -> None:
    assert run("upscale", "in", "--model", str(x2)).code == 0
    outcome = run("upscale", "in", "--model", str(x2), "--overwrite")
    assert outcome.code == 0
    assert {path.name for path in Path("in").rglob("*.*")} == {"two.png", "two_x2.png", "three.jpg", "three_x2.png"}


@pytest.mark.parametrize("output", ["new/", "there", "there/name.jpg"])
def test_output_is_a_file_or_a_folder(output: str, x2: Path) -> None:
    Path("there").mkdir()
    outcome = run("upscale", "one.png", "--model", str(x2), "-o", output)
    expected = output if output.endswith(".jpg") else f"{output.rstrip('/')}/one_x2.png"
    assert (outcome.code, outcome.out) == (0, f"{expected}\n")
    assert decode(Path(expected)).pixels.shape == (40, 60, 3)


def test_a_bad_file_does_not_stop_the_others(x2: Path) -> None:
    Path("in/bad.png").write_bytes(b"bad")
    outcome = run("upscale", "in", "one.png", "none.png", "--model", str(x2), "-o", "out")
    assert outcome.code == 1
    assert len(outcome.out.split()) == 3
    assert "in/bad.png is not an image" in outcome.err
    assert "Error: 2 of 5 files failed: in/bad.png, none.png." in outcome.err


def test_json_lines(x2: Path) -> None:
    outcome = run("--json", "upscale", "one.png", "none.png", "--model", str(x2), "--tile", "16", "--overlap", "4")
    good, bad = (json.loads(line) for line in outcome.out.splitlines())
    assert outcome.code == 1
    assert (good["input"], good["output"], good["error"]) == ("one.png", "one_x2.png", None)
    assert (good["width"], good["height"], good["scale"], good["tile"], good["tiles"]) == (30, 20, 2, 16, 6)
    assert good["seconds"] > 0
    assert bad["error"] == "none.png does not exist."


def test_flags_work_before_and_after_the_command(x2: Path) -> None:
    for arguments in (("--quiet", "upscale", "one.png"), ("upscale", "one.png", "-q")):
        outcome = run(*arguments, "--model", str(x2), "--overwrite")
        assert (outcome.code, outcome.out, outcome.err) == (0, "one_x2.png\n", "")


def test_an_installed_model_is_found_by_its_name(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMBAIR_DATA", "data")
    Path("data/models").mkdir(parents=True)
    entry = catalog.by_name("mambair-denoise-25")
    assert entry is not None
    Path("data/models", entry.file).write_bytes(checkpoint(upscale=1, upsampler="").read_bytes())
    outcome = run("denoise", "one.png", "--model", entry.name)
    assert outcome.code == 0, outcome.err
    assert f"with {entry.name}" in outcome.err
    models = json.loads(run("models", "list", "--json").out)["models"]
    there = [model["name"] for model in models if model["installed"] and not model["bundled"]]
    assert there == [entry.name]


def test_a_bundled_model_is_the_default_and_needs_no_fetching() -> None:
    outcome = run("upscale", "one.png", "--scale", "2")
    assert (outcome.code, outcome.out) == (0, "one_x2.png\n")
    assert "with mambair-nano-x2" in outcome.err
    assert "bundled" in run("models", "list").out
    for task in ("upscale", "denoise", "dejpeg", "dehaze"):
        assert run(task, "one.png", "-o", f"{task}.png").code == 0
    fetched = run("fetch", "mambair-nano-x2")
    assert (fetched.code, "comes with the package" in fetched.err) == (2, True)


def test_models_show_names_the_network(x2: Path) -> None:
    record = json.loads(run("models", "show", str(x2), "--json").out)
    assert (record["network"], record["scale"], record["options"]["embed_dim"]) == ("MambaIR", 2, 30)
    assert record["parameters"] == sum(p.numel() for p in load_model(x2).network.parameters())
    assert "MambaIR" in run("models", "show", str(x2)).out


def test_models_list_is_a_table() -> None:
    outcome = run("models", "list")
    assert outcome.code == 0
    assert "mambairv2-light-x4" in outcome.out
    assert "32.51 dB on Set5" in outcome.out


def test_doctor_reports_every_backend_with_its_reason() -> None:
    from mambair_kernels.dispatch import BACKENDS

    outcome = run("doctor", "--json")
    record = json.loads(outcome.out)
    assert outcome.code == 0
    assert {row["name"] for row in record["backends"]} == {backend.name for backend in BACKENDS}
    assert all(row["reason"] for row in record["backends"])
    assert record["packages"]["torch"]
    assert "Scan backend" in run("doctor").out


def test_doctor_fails_when_a_backend_computes_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    from mambair_kernels import selftest

    monkeypatch.setattr(selftest, "deviation", lambda name, device: float("nan"))
    outcome = run("doctor")
    assert outcome.code == 1
    assert "wrong results" in outcome.err


def test_bench_times_every_usable_backend() -> None:
    from mambair_kernels import dispatch

    usable = {row.name for row in dispatch.verdicts(torch.device("cpu")) if row.usable} - {"reference"}
    outcome = run("bench", "--backends", "--size", "16", "--json")
    record = json.loads(outcome.out)
    assert outcome.code == 0
    assert {row["backend"] for row in record["rows"]} == usable
    assert all(row["seconds"] > 0 for row in record["rows"])
    assert dispatch.VARIABLE not in os.environ


def test_bench_gives_one_number_per_model_beside_edsr() -> None:
    outcome = run("bench", "mambair-nano-x2", "mambair-nano-denoise", "--size", "32", "--device", "cpu", "--json")
    record = json.loads(outcome.out)
    *models, edsr = record["rows"]
    assert [row["name"] for row in models] == ["mambair-nano-x2", "mambair-nano-denoise"]
    assert (edsr["name"], edsr["times_yardstick"]) == ("EDSR-baseline x4", 1)
    for row in record["rows"]:
        assert row["megapixels_per_minute"] == pytest.approx(60 / row["seconds"])
        assert row["times_yardstick"] == pytest.approx(edsr["seconds"] / row["seconds"])
    assert record["processor"]
    assert record["threads"] == torch.get_num_threads()
    assert run("bench", "mambair-nano-x2", "--backends").code == 2


def test_bench_tells_models_of_one_name_apart(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    assert run("models", "export", "mambair-nano-x2", str(other)).code == 0
    record = json.loads(run("bench", str(other), "mambair-nano-x2", "--size", "16", "--device", "cpu", "--json").out)
    assert len(record["rows"]) == 3
    assert record["rows"][0]["name"] == str(other)


def test_the_version() -> None:
    assert run("--version").out == f"mambair {__version__}\n"


@pytest.mark.parametrize("program", ["import mambair_cli", "from mambair_cli.app import app; app(['--help'])"])
def test_importing_and_helping_load_nothing_heavy(program: str) -> None:
    report = "import sys, atexit; atexit.register(lambda: print('LOADED', *sys.modules)); "
    result = subprocess.run([sys.executable, "-c", report + program], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split("LOADED")[1].split())
    assert loaded.isdisjoint({"torch", "cv2", "numpy", "gdown", "basicsr", "PIL", "safetensors", "requests"})


@pytest.mark.parametrize("task", ["upscale", "denoise", "dejpeg", "dehaze"])
def test_restoring_loads_no_compiler(task: str, tmp_path: Path) -> None:
    """torch's compiler takes longer to import than torch."""
    assert cv2.imwrite(str(tmp_path / "in.png"), np.full((8, 8, 3), 100, np.uint8))
    program = (
        "import sys, atexit; from mambair_cli.entry import main; "
        "atexit.register(lambda: print('LOADED', *sys.modules)); main()"
    )
    command = [sys.executable, "-c", program, task, str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split("LOADED")[1].split())
    assert "torch" in loaded
    assert loaded.isdisjoint({"torch._dynamo", "sympy"})


@pytest.mark.parametrize("command", ["upscale", "denoise", "dejpeg", "dehaze", "doctor", "models", "bench", "fetch"])
def test_every_command_explains_itself(command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert "Usage" in outcome.out
