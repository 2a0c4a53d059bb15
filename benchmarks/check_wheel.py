"""Checks the native libraries of wheels for any platform: how many, their format and processor, what they link.

Usage: python benchmarks/check_wheel.py WHEEL...

A library may link what every system of its platform has, and nothing else: no libgomp, no C++ runtime.
"""

import re
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

GENERIC, LEVELS = ("generic",), ("v2", "v3", "v4")
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
PE_MACHINES = {"amd64": 0x8664, "arm64": 0xAA64}
MACH_MACHINES = {"x86_64": 0x01000007, "arm64": 0x0100000C}
EXPORTED = b"mambair_scan_image_backward"
SYSTEM = {
    "so": r"lib(c|m|pthread|dl|rt)\.so\.\d|ld-linux-(x86-64|aarch64)\.so\.\d",
    "dll": r"(?i)(kernel32|ntdll|msvcrt|ucrtbase|api-ms-win-crt-[\w-]+)\.dll",
    "dylib": r"/usr/lib/libSystem\.B\.dylib",
}


def text_at(data: bytes, start: int) -> str:
    """The zero-terminated text there."""
    return data[start : data.index(b"\0", start)].decode()


def elf_needed(data: bytes) -> tuple[int, list[str]]:
    """Machine and the libraries that a 64-bit ELF file needs."""
    machine = struct.unpack_from("<H", data, 18)[0]
    table, size, count = (*struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HH", data, 58))
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
    dynamic = next(section for section in sections if section[1] == 6)
    names = sections[dynamic[6]][4]
    entries = struct.iter_unpack("<QQ", data[dynamic[4] : dynamic[4] + dynamic[5]])
    return machine, [text_at(data, names + value) for tag, value in entries if tag == 1]


def pe_needed(data: bytes) -> tuple[int, list[str]]:
    """Machine and the libraries that a 64-bit PE file needs."""
    header = struct.unpack_from("<I", data, 60)[0]
    machine, count = struct.unpack_from("<HH", data, header + 4)
    optional = struct.unpack_from("<H", data, header + 20)[0]
    sections = [struct.unpack_from("<IIII", data, header + 24 + optional + 40 * i + 8) for i in range(count)]

    def offset(address: int) -> int:
        found: int = next(raw + address - start for size, start, _, raw in sections if start <= address < start + size)
        return found

    names, entry = [], offset(struct.unpack_from("<I", data, header + 24 + 120)[0])
    while name := struct.unpack_from("<I", data, entry + 12)[0]:
        names.append(text_at(data, offset(name)))
        entry += 20
    return machine, names


def mach_commands(data: bytes) -> Iterator[tuple[int, int]]:
    """Kind and place of each load command of a 64-bit Mach-O file."""
    place = 32
    for _ in range(struct.unpack_from("<I", data, 16)[0]):
        kind, size = struct.unpack_from("<II", data, place)
        yield kind, place
        place += size


def mach_needed(data: bytes) -> tuple[int, list[str]]:
    """Processor and the libraries that a Mach-O file loads."""
    loads = [place for kind, place in mach_commands(data) if kind == 0xC]
    return struct.unpack_from("<I", data, 4)[0], [
        text_at(data, place + struct.unpack_from("<I", data, place + 8)[0]) for place in loads
    ]


def oldest_macos(data: bytes) -> tuple[int, int]:
    """Major and minor version of the oldest macOS that a Mach-O file is built for."""
    version = next(struct.unpack_from("<I", data, place + 12)[0] for kind, place in mach_commands(data) if kind == 0x32)
    return version >> 16, version >> 8 & 255


def newest_glibc(data: bytes) -> tuple[int, int]:
    """The newest version of glibc that an ELF file asks symbols of."""
    found = re.findall(rb"\0GLIBC_(\d+)\.(\d+)", data)
    return max((int(major), int(minor)) for major, minor in found)


def mistakes(platform: str, name: str, data: bytes) -> Iterator[str]:
    """What is wrong with one library of a wheel for ``platform``."""
    kind = name.rsplit(".", 1)[1]
    reader, machines = {
        "so": (elf_needed, ELF_MACHINES),
        "dll": (pe_needed, PE_MACHINES),
        "dylib": (mach_needed, MACH_MACHINES),
    }[kind]
    machine, needed = reader(data)
    if machine != next(code for processor, code in machines.items() if platform.endswith(processor)):
        yield f"is for another processor ({machine:#x})"
    yield from (f"links {library}" for library in needed if not re.fullmatch(SYSTEM[kind], library))
    if EXPORTED not in data:
        yield f"does not export {EXPORTED.decode()}"
    oldest = tuple(map(int, re.findall(r"_(\d+)", platform)[:2]))
    if kind == "dylib" and oldest_macos(data) > oldest:
        yield f"needs macOS {oldest_macos(data)}"
    if kind == "so" and newest_glibc(data) > oldest:
        yield f"needs glibc {newest_glibc(data)}"


def check(wheel: Path) -> list[str]:
    """Everything wrong with the native libraries of a wheel, one line each."""
    platform = wheel.stem.split("-")[-1]
    with zipfile.ZipFile(wheel) as archive:
        libraries = {name: archive.read(name) for name in archive.namelist() if "/_cpu_" in name}
    suffix = {"win": "dll", "mac": "dylib"}.get(platform[:3], "so")
    sets = LEVELS if platform.endswith(("x86_64", "amd64")) else GENERIC
    expected = {f"mambair_kernels/cpu/_cpu_{name}.{suffix}" for name in sets}
    found = [f"{wheel.name}: {name} is missing" for name in sorted(expected - set(libraries))]
    found += [f"{wheel.name}: {name} has no place there" for name in sorted(set(libraries) - expected)]
    for name in sorted(expected & set(libraries)):
        found += [f"{wheel.name}: {name} {mistake}" for mistake in mistakes(platform, name, libraries[name])]
    return found


if __name__ == "__main__":
    lines = [line for wheel in sys.argv[1:] for line in check(Path(wheel))]
    print("\n".join(lines) or f"{len(sys.argv) - 1} wheel(s) link nothing but their system")
    sys.exit(bool(lines) or len(sys.argv) == 1)
