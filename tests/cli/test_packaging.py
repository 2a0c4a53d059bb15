"""The wheel holds what it should, built from a clean tree (a left-over build folder would be packed silently)."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from mambair_kernels.cpu import native

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = PROJECT["tool"]["setuptools"]["package-dir"]


def build(place: Path, **environment: str) -> Path:
    """A wheel of the files that git tracks, as they are in the working tree."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in listing.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (place / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / "tree" / name)
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(place), "."]
    variables = {**os.environ, **environment}
    subprocess.run([sys.executable, "-m", *command], cwd=place / "tree", env=variables, check=True, capture_output=True)
    return next(place.glob("mambair-*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


def libraries(wheel: Path) -> set[str]:
    return {name for name in names(wheel) if ".so" in name}


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_module_and_data_file_is_packed(wheel: Path) -> None:
    packed = names(wheel)
    for package, folder in FOLDERS.items():
        modules = {
            f"{package}/{path.relative_to(ROOT / folder)}"
            for path in (ROOT / folder).rglob("*.py")
            if package not in ("mambair_options", "mambair_datasets") or path.parent == ROOT / folder
        }
        assert modules <= packed
    for data in (
        "mambair_kernels/py.typed",
        "mambair_archs/py.typed",
        "mambair_cli/py.typed",
        "mambair_cli/weights/catalog.toml",
        "mambair_datasets/catalog.toml",
        "mambair_datasets/photos.csv",
        "mambair_datasets/samples/cat.png",
        "mambair_options/lightSR_x2.yml",
        "mambair_options/test/lightSR_x2.yml",
    ):
        assert data in packed


def test_nothing_else_is_packed(wheel: Path) -> None:
    roots = {name.split("/")[0] for name in names(wheel)}
    assert {root for root in roots if not root.endswith(".dist-info")} == set(FOLDERS)


def test_the_installed_package_imports_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    program = f"import {', '.join(FOLDERS)}; print({', '.join(f'{package}.__file__' for package in FOLDERS)})"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert all(place.startswith(str(site)) for place in found.stdout.split())


def test_mamba_ssm_and_basicsr_are_never_required() -> None:
    required = " ".join(PROJECT["project"]["dependencies"])
    extras = PROJECT["project"]["optional-dependencies"]
    assert "mamba" not in required
    assert "basicsr" not in required + " ".join(name for extra in extras.values() for name in extra)
    assert set(extras["cuda"]) == {"mamba-ssm", "causal-conv1d"}
    assert "opencv-python-headless" in required


@pytest.mark.skipif(shutil.which("c++") is None, reason="this machine has no C++ compiler")
def test_the_wheel_serves_every_python_and_bundles_no_openmp(wheel: Path) -> None:
    assert "-py3-none-" in wheel.name
    assert libraries(wheel) == {f"mambair_kernels/cpu/_cpu_{name}.so" for name in native.built()} != set()


@pytest.mark.skipif(shutil.which("c++") is None, reason="this machine has no C++ compiler")
def test_the_installed_wheel_runs_natively_without_a_compiler(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = (
        "from mambair_kernels.cpu import native; print(native.FOLDER); assert native.available()[0], native.available()"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(tmp_path))


def test_without_a_compiler_the_build_succeeds_and_the_reason_is_told(tmp_path: Path) -> None:
    wheel = build(tmp_path, CC="/nonexistent/cc", CXX="/nonexistent/c++")
    assert libraries(wheel) == set()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = "from mambair_kernels.cpu import native; print(native.available())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"(False, {native.MISSING!r})"


def test_a_platform_without_a_wheel_is_named_with_those_that_have_one() -> None:
    environment = {**os.environ, "MAMBAIR_WHEEL_PLATFORM": "win32"}
    command = [sys.executable, "setup.py", "--name"]
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert told.stderr.startswith("MAMBAIR_WHEEL_PLATFORM=win32 is unknown; take one of win_amd64, win_arm64, macosx")
