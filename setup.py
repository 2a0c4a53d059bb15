"""The native CPU library, which pyproject.toml cannot describe: one C++ source, built once per instruction set.

The libraries are not Python modules but are opened with ctypes: they link neither libpython nor libtorch, so the wheel
serves every Python 3 and every torch. They are optional: without a C++ compiler the installation succeeds, and the scan
falls back to plain torch.
"""

import platform
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCES = Path("kernels/csrc")
# Not -ffast-math: the exponential relies on correct rounding, and it would flush subnormal numbers process-wide.
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden"]
QUIET = ["-Wno-psabi", "-Wno-unknown-pragmas", "-Wno-maybe-uninitialized"]  # the last: gcc's own AVX-512 header
OPENMP = ["-fopenmp"] if sys.platform == "linux" else []


def instruction_sets() -> dict[str, list[str]]:
    """Name of each library and the compiler flags that choose its instruction set."""
    if sys.platform == "win32":
        return {}  # the compilers there have no vector types
    if platform.machine().lower() in ("x86_64", "amd64"):
        return {level: [f"-march=x86-64-{level}"] for level in ("v2", "v3", "v4")}
    return {"generic": []}


def extension(name: str, flags: list[str]) -> Extension:
    """One library of the package ``mambair_kernels.cpu``."""
    return Extension(
        f"mambair_kernels.cpu._cpu_{name}",
        [str(SOURCES / "mambair_cpu.cpp")],
        depends=[str(header) for header in sorted(SOURCES.glob("*.h"))],
        extra_compile_args=[*FLAGS, *QUIET, *OPENMP, *flags],
        extra_link_args=OPENMP,
        language="c++",
        optional=True,
    )


class BuildLibraries(build_ext):
    """Names the results without the Python version and keeps the objects of one source apart."""

    def get_ext_filename(self, fullname: str) -> str:  # noqa: D102
        return str(Path(*fullname.split("."))) + ".so"

    def build_extension(self, ext: Extension) -> None:  # noqa: D102
        shared, self.build_temp = self.build_temp, str(Path(self.build_temp) / ext.name)
        try:
            super().build_extension(ext)
        finally:
            self.build_temp = shared


class AnyPythonWheel(bdist_wheel):
    """Tags the wheel for this platform and any Python 3."""

    def get_tag(self) -> tuple[str, str, str]:  # noqa: D102
        return "py3", "none", super().get_tag()[2]


setup(
    ext_modules=[extension(name, flags) for name, flags in instruction_sets().items()],
    cmdclass={"build_ext": BuildLibraries, "bdist_wheel": AnyPythonWheel},
)
