"""The native CPU library, which pyproject.toml cannot describe: one C++ source, built once per instruction set.

The libraries are not Python modules but are opened with ctypes: they link neither libpython nor libtorch, so the wheel
serves every Python 3 and every torch. They are optional: without a C++ compiler the installation succeeds, and the scan
falls back to plain torch.

``MAMBAIR_WHEEL_PLATFORM``, one of TARGETS, builds for that platform with the compiler of the package ``ziglang``, which
carries the headers and libraries of all of them; `make wheels` does so for each. On Windows it is the compiler at home,
too: Microsoft's has no vector types, and GCC there does not align them on the stack.
"""

import os
import platform
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

SOURCES = Path("kernels/csrc")
# Not -ffast-math: the exponential relies on correct rounding, and it would flush subnormal numbers process-wide.
FLAGS = ["-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fvisibility=hidden"]
QUIET = ["-Wno-psabi", "-Wno-unknown-pragmas", "-Wno-maybe-uninitialized"]  # the last: gcc's own AVX-512 header
OPENMP = ["-fopenmp"] if sys.platform == "linux" else []

# Platform of a wheel, and what zig calls it: the numbers are the oldest macOS and glibc.
TARGETS = {
    "win_amd64": "x86_64-windows-gnu",
    "win_arm64": "aarch64-windows-gnu",
    "macosx_11_0_arm64": "aarch64-macos.11.0",
    "macosx_11_0_x86_64": "x86_64-macos.11.0",
    "manylinux_2_28_x86_64": "x86_64-linux-gnu.2.28",
    "manylinux_2_28_aarch64": "aarch64-linux-gnu.2.28",
}


def machine() -> str:
    """The processor that this Python runs on, as zig calls it."""
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name := platform.machine().lower(), name)


def zig_target() -> str | None:
    """What zig has to build for, or None where the usual compiler does."""
    wanted = os.environ.get("MAMBAIR_WHEEL_PLATFORM")
    if wanted is not None and wanted not in TARGETS:
        sys.exit(f"MAMBAIR_WHEEL_PLATFORM={wanted} is unknown; take one of {', '.join(TARGETS)}")
    if wanted is not None:
        return TARGETS[wanted]
    return f"{machine()}-windows-gnu" if sys.platform == "win32" else None


ZIG_TARGET = zig_target()


def instruction_sets() -> dict[str, list[str]]:
    """Name of each library and the compiler flags that choose its instruction set."""
    if (ZIG_TARGET or machine()).split("-")[0] != "x86_64":
        return {"generic": []}
    return {
        level: [f"-mcpu=x86_64_{level}" if ZIG_TARGET else f"-march=x86-64-{level}"] for level in ("v2", "v3", "v4")
    }


def suffix() -> str:
    """How the name of a library ends, as ``mambair_kernels.cpu.native`` expects it."""
    system = ZIG_TARGET or {"darwin": "macos"}.get(sys.platform, sys.platform)
    return ".dll" if "windows" in system else ".dylib" if "macos" in system else ".so"


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
        return str(Path(*fullname.split("."))) + suffix()

    def build_extension(self, ext: Extension) -> None:  # noqa: D102
        shared, self.build_temp = self.build_temp, str(Path(self.build_temp) / ext.name)
        try:
            super().build_extension(ext) if ZIG_TARGET is None else self.build_with_zig(ext, ZIG_TARGET)
        finally:
            self.build_temp = shared

    def build_with_zig(self, ext: Extension, target: str) -> None:
        """Compiles and links in one step.

        Raises:
            CompileError: ziglang is not installed, or cannot compile this.
        """
        result, place = Path(self.get_ext_fullpath(ext.name)).resolve(), Path(self.build_temp)
        result.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(parents=True, exist_ok=True)
        flags = [flag for flag in ext.extra_compile_args if flag not in OPENMP]
        command = [sys.executable, "-m", "ziglang", "c++", "-target", target, "-shared", "-fPIC", "-s", *flags]
        if "windows" in target:
            command.append(f"-Wl,--out-implib,{place / 'unused.lib'}")
        try:
            subprocess.run([*command, *ext.sources, "-o", str(result)], check=True)
        except subprocess.CalledProcessError as error:
            raise CompileError(f"zig cannot build {result.name}; is the package ziglang installed?") from error


class AnyPythonWheel(bdist_wheel):
    """Tags the wheel for this platform and any Python 3."""

    def get_tag(self) -> tuple[str, str, str]:  # noqa: D102
        return "py3", "none", os.environ.get("MAMBAIR_WHEEL_PLATFORM", super().get_tag()[2])


setup(
    ext_modules=[extension(name, flags) for name, flags in instruction_sets().items()],
    cmdclass={"build_ext": BuildLibraries, "bdist_wheel": AnyPythonWheel},
)
