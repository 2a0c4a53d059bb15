"""A result is known again if it is the one that was made, from the input that was read."""

import os
from pathlib import Path

import pytest

from mambair_cli.restoration.record import NAME, Entry, Record, Stamp


def stamped(path: Path) -> Stamp:
    return Stamp.of(path, str(path.absolute()))


def entry(target: Path, source: Path, recipe: str = "r") -> Entry:
    return Entry(Stamp.of(target, target.name), stamped(source), recipe)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("a.png", "a_x2.png"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path / "a.png", tmp_path / "a_x2.png"


def test_a_file_is_known_by_date_or_content(files: tuple[Path, Path]) -> None:
    path = files[0]
    stamp = stamped(path)
    assert stamp.fits(path, str(path))
    os.utime(path, ns=(1, 1))
    assert stamp.fits(path, str(path))
    path.write_bytes(b"b.png")
    assert not stamp.fits(path, str(path))
    path.write_bytes(b"longer")
    assert not stamp.fits(path, str(path))


def test_same_size_and_date_elsewhere_is_another_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    stamp = stamped(files[0])
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "a.png"
    other.write_bytes(b"b.png")
    os.utime(other, ns=(stamp.mtime_ns, stamp.mtime_ns))
    assert not stamp.fits(other, str(other))
    other.write_bytes(b"a.png")
    assert stamp.fits(other, str(other))


def test_the_newest_fitting_line_counts(files: tuple[Path, Path], tmp_path: Path) -> None:
    source, target = files
    record = Record(tmp_path)
    assert record.maker(target) is None
    for recipe in ("old", "new"):
        record.add(entry(target, source, recipe))
    target.write_bytes(b"changed ")
    changed = entry(target, source, "changed")
    target.write_bytes(b"a_x2.png")
    record.add(changed)  # the run was killed before it replaced the result
    found = record.maker(target)
    assert found is not None
    assert found.fingerprint == "new"
    target.write_bytes(b"changed ")
    assert record.maker(target) == changed
    target.write_bytes(b"painted over")
    assert record.maker(target) is None


def test_lines_of_other_processes_are_seen(files: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = Record(tmp_path), Record(tmp_path)
    assert one.maker(files[1]) is None
    other.add(entry(files[1], files[0]))
    assert one.maker(files[1]) is not None


@pytest.mark.parametrize("rest", [b'{"version": 1, "made": {"pl', b"no json\n", b"[]\n", b'{"version": 99}\n'])
def test_what_a_power_cut_or_another_version_left_is_passed_over(
    rest: bytes, files: tuple[Path, Path], tmp_path: Path
) -> None:
    Record(tmp_path).add(entry(files[1], files[0], "before"))
    with (tmp_path / NAME).open("ab") as file:
        file.write(rest)
    found = Record(tmp_path).maker(files[1])
    assert found is not None
    Record(tmp_path).add(entry(files[1], files[0], "after"))
    found = Record(tmp_path).maker(files[1])
    assert found is not None
    assert found.fingerprint == "after"


def test_any_name(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 \n\xf0\x9f\xa6\x85.png")
    path.write_bytes(b"x")
    Record(tmp_path).add(entry(path, path))
    assert (tmp_path / NAME).read_bytes().isascii()
    assert Record(tmp_path).maker(path) is not None
