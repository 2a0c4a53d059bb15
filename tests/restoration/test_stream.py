"""A picture that goes through in bands comes out as one that is restored in memory."""

import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from mambair_cli.errors import InputError, NumericalError, OutOfMemoryError, OutputError
from mambair_cli.images.damage import MENDED
from mambair_cli.images.decode import decode
from mambair_cli.images.encode import encode, fit
from mambair_cli.images.picture import Picture, Pixels
from mambair_cli.restoration import footprint, memory, stream
from mambair_cli.restoration.batch import run
from mambair_cli.restoration.choices import Choices
from mambair_cli.restoration.engine import Report
from mambair_cli.restoration.picture import Run
from mambair_cli.restoration.result import Job, Result
from mambair_cli.weights.loader import load
from mambair_cli.weights.model import Model
from tests.images.test_bands import ICC, exif, waves
from tests.restoration.stubs import RunsOutOfMemory, pointwise, restore


class Stub(nn.Module):
    """A function in place of a network."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


@pytest.fixture
def twice(x2: Path) -> Model:
    """A model that scrambles and doubles every pixel."""
    return replace(load(x2, "cpu"), network=Stub(pointwise(2)))


@pytest.fixture
def same(x1: Path) -> Model:
    """A model that scrambles every pixel."""
    return replace(load(x1, "cpu"), network=Stub(pointwise(1)))


def both(source: Path, target: Path, model: Model, **choices: Any) -> tuple[Picture, Picture]:
    """What is read from the file that was streamed, and from that which was made in memory."""
    notes = stream.restore_file(source, target, target, model, Choices(tile=48, **choices)).notes
    picture = decode(source)
    pixels = restore(picture.pixels, model, tile=48)
    fitting = fit(Picture(pixels, picture.metadata, picture.notes), target.suffix)
    assert fitting.notes == notes
    other = target.with_name(f"memory{target.suffix}")
    other.write_bytes(encode(fitting, target.suffix))
    return decode(target), decode(other)


def save(path: Path, pixels: Pixels) -> Path:
    """A file by OpenCV."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2]]
    cv2.imwrite(str(path), pixels[:, :, order])
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_streamed_is_what_memory_gives(
    suffix: str, dtype: type[np.generic], channels: int, twice: Model, tmp_path: Path
) -> None:
    source = save(tmp_path / "a.png", waves(channels, dtype))
    streamed, expected = both(source, tmp_path / f"out{suffix}", twice)
    assert streamed.pixels.dtype == expected.pixels.dtype
    shown = expected.pixels[:, :, -1] > 0 if channels == 4 else np.ones(expected.pixels.shape[:2], bool)
    assert np.array_equal(streamed.pixels[shown], expected.pixels[shown])
    assert np.array_equal(streamed.pixels[:, :, -1], expected.pixels[:, :, -1])


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp"])
def test_from_other_formats(suffix: str, twice: Model, tmp_path: Path) -> None:
    streamed, expected = both(save(tmp_path / f"a{suffix}", waves(3, np.uint8)), tmp_path / "out.png", twice)
    assert np.array_equal(streamed.pixels, expected.pixels)


def test_gray_with_alpha(twice: Model, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    Image.fromarray(waves(2, np.uint8), "LA").save(source)
    stream.restore_file(source, tmp_path / "out.png", tmp_path / "out.png", twice, Choices(tile=48))
    expected = restore(decode(source).pixels, twice, tile=48)
    assert np.array_equal(decode(tmp_path / "out.png").pixels, expected)


def test_to_jpeg(twice: Model, tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", waves(4, np.uint16))
    streamed, expected = both(source, tmp_path / "out.jpg", twice)
    difference = np.abs(streamed.pixels.astype(int) - expected.pixels)
    assert difference.mean() < 2  # both are lossy, each in its way


@pytest.mark.parametrize("orientation", [2, 6])
def test_metadata_of_a_turned_picture(orientation: int, twice: Model, tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    Image.fromarray(waves(3, np.uint8)).save(source, quality=95, exif=exif(orientation), icc_profile=ICC)
    for suffix in (".png", ".jpg", ".webp"):
        streamed, expected = both(source, tmp_path / f"out{suffix}", twice)
        assert streamed.pixels.shape == expected.pixels.shape
        if suffix != ".jpg":
            assert np.array_equal(streamed.pixels, expected.pixels)
        with Image.open(tmp_path / f"out{suffix}") as found, Image.open(tmp_path / f"memory{suffix}") as other:
            assert found.info["icc_profile"] == other.info["icc_profile"] == ICC
            tags, wanted = dict(found.getexif()), dict(other.getexif())
            assert {tag: tags[tag] for tag in wanted if tag < 34000} == {  # larger ones are places of other folders
                tag: value for tag, value in wanted.items() if tag < 34000
            }
    assert not list(tmp_path.glob("*.part"))


def test_memory_that_runs_out_makes_tiles_smaller_on_the_way(twice: Model, tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", waves(3, np.uint8, 300))
    target, report = tmp_path / "out.png", Report()
    failing = replace(twice, network=Stub(RunsOutOfMemory(pointwise(2), {9, 12})))
    stream.restore_file(source, target, target, failing, Choices(tile=48), report=report)
    assert len(report.retries) == 2
    assert np.array_equal(decode(target).pixels, restore(decode(source).pixels, twice, tile=0))
    assert report.peak_memory > 0


@pytest.mark.parametrize(
    ("choices", "size"),
    [({"scale": 1.5}, (135, 225)), ({"width": 108}, (108, 180)), ({"width": 100, "height": 400}, (100, 400))],
)
def test_other_sizes(choices: dict[str, Any], size: tuple[int, int], twice: Model, tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    done = stream.restore_file(
        save(tmp_path / "a.png", waves(3, np.uint8)), target, target, twice, Choices(tile=48, **choices)
    )
    assert decode(target).pixels.shape[1::-1] == size
    assert done.shape == (150, 90)


def test_stripped(twice: Model, tmp_path: Path) -> None:
    source, target = tmp_path / "a.jpg", tmp_path / "out.png"
    Image.fromarray(waves(3, np.uint8)).save(source, exif=exif(), icc_profile=ICC)
    stream.restore_file(source, target, target, twice, Choices(tile=48, strip=True))
    with Image.open(target) as found:
        assert not found.getexif()
        assert "icc_profile" not in found.info


def test_failures_of_the_network_and_of_the_input_are_told_apart(twice: Model, tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (300, 90, 3), np.uint8))
    target = tmp_path / "out.png"
    broken = replace(twice, network=Stub(lambda x: x.repeat(1, 1, 2, 2) * float("nan")))
    with pytest.raises(NumericalError):
        stream.restore_file(source, target, target, broken, Choices(tile=48))
    source.write_bytes(source.read_bytes()[:40000])
    with pytest.raises(InputError, match="damaged or truncated"):
        stream.restore_file(source, target, target, twice, Choices(tile=48))
    with pytest.raises(InputError, match="No such file"):
        stream.restore_file(tmp_path / "no.png", target, target, twice, Choices())


def test_damage_that_is_mended_is_told(same: Model, tmp_path: Path) -> None:
    source, target = tmp_path / "a.jpg", tmp_path / "out.png"
    data = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (120, 90, 3), np.uint8))[1].tobytes()
    middle = data.index(b"\xff\xda") + 60
    source.write_bytes(data[:middle] + b"\xff\xd3" + data[middle:])  # a restart that was not announced
    done = stream.restore_file(source, target, target, same, Choices(tile=48))
    assert done.notes == decode(source).notes == (MENDED,)
    with pytest.raises(InputError, match="damaged"):
        stream.restore_file(source, target, target, same, Choices(tile=48, strict=True))
    source.write_bytes(data)
    assert stream.restore_file(source, target, target, same, Choices(tile=48, strict=True)).notes == ()


def test_a_result_too_large_for_its_format(twice: Model, tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", np.zeros((2, 33000, 3), np.uint8))
    with pytest.raises(OutputError, match=r"the 65500 of \.jpg"):
        stream.restore_file(source, tmp_path / "t", tmp_path / "out.jpg", twice, Choices())


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets how much memory seems to be free, beside the reserve."""

    def set_room(room: int) -> None:
        monkeypatch.setattr(memory, "available", lambda device: memory.RESERVE + room)

    return set_room


def test_what_fits_is_not_streamed(twice: Model, tmp_path: Path, small_memory: Callable[[int], None]) -> None:
    source = save(tmp_path / "a.png", waves(3, np.uint8))
    pixels = 150 * 90 * 3
    work = 8 * 8 * twice.descriptor.bytes_per_pixel + 2 * 8 * 2 * 90 * 2 * 3 * 4
    small_memory(13 * pixels + work)
    assert not stream.needed(source, tmp_path / "out.png", twice, Choices(tile=8))
    small_memory(13 * pixels + work - 1)
    assert stream.needed(source, tmp_path / "out.png", twice, Choices(tile=8))


def test_a_small_picture_is_not_streamed_because_of_large_tiles(
    twice: Model, tmp_path: Path, small_memory: Callable[[int], None]
) -> None:
    source = save(tmp_path / "a.png", waves(3, np.uint8))
    small_memory(2 * 13 * 150 * 90 * 3)
    assert not stream.needed(source, tmp_path / "out.png", twice, Choices(tile=128))
    small_memory(2 * 13 * 150 * 90 * 3 - 2)
    assert stream.needed(source, tmp_path / "out.png", twice, Choices(tile=128))


def test_without_pyvips_too_large_is_refused_with_a_hint(
    twice: Model, tmp_path: Path, small_memory: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyvips", None)
    source, target = save(tmp_path / "a.png", waves(3, np.uint8)), tmp_path / "out.png"
    pixels = 150 * 90 * 3
    small_memory(13 * pixels)
    assert not stream.needed(source, target, twice, Choices(tile=48))  # smaller tiles will do
    small_memory(13 * pixels - 1)
    with pytest.raises(OutOfMemoryError, match=r"a\.png \(90 x 150 pixels\)") as caught:
        stream.needed(source, target, twice, Choices(tile=48))
    assert caught.value.hint == "Install it with pip install 'mambair[large]'."


@pytest.mark.parametrize(
    ("name", "target", "options", "words"),
    [
        ("a.bmp", "out.png", {}, r"\.bmp files are only read as a whole"),
        ("a.png", "out.bmp", {}, r"\.bmp files are only written as a whole"),
        ("a.jpg", "out.png", {"progressive": True}, "unpacked as a whole"),
        ("a.webp", "out.png", {}, "unpacked as a whole"),
        ("a.png", "out.webp", {}, r"\.webp files are only written as a whole"),
    ],
)
def test_what_cannot_be_streamed_is_said(
    name: str,
    target: str,
    options: dict[str, Any],
    words: str,
    twice: Model,
    tmp_path: Path,
    small_memory: Callable[[int], None],
) -> None:
    Image.fromarray(waves(3, np.uint8)).save(tmp_path / name, **options)
    small_memory(0)
    with pytest.raises(OutOfMemoryError, match=words):
        stream.needed(tmp_path / name, tmp_path / target, twice, Choices())


def test_a_bomb_is_called_one_although_memory_is_short_too(
    twice: Model, tmp_path: Path, small_memory: Callable[[int], None]
) -> None:
    Image.fromarray(waves(3, np.uint8)).save(tmp_path / "a.bmp")
    small_memory(0)
    with pytest.raises(InputError, match="more than the limit"):
        stream.needed(tmp_path / "a.bmp", tmp_path / "out.png", twice, Choices(max_pixels=99))


@pytest.mark.parametrize("pipe", ["in", "out"])
def test_what_goes_through_a_pipe_is_held_as_a_whole(
    pipe: str, twice: Model, tmp_path: Path, small_memory: Callable[[int], None]
) -> None:
    source = save(tmp_path / "a.png", waves(3, np.uint8))
    job = Job(source, tmp_path / "stdout.png", piped_in=pipe == "in", piped_out=pipe == "out")
    small_memory(0)
    run = Run(twice, Choices(), piped=source.read_bytes())
    work = run.new(job)
    work.begin()
    assert f"{'Standard input' if pipe == 'in' else source} (90 x 150 pixels) takes about" in str(work.result.error)
    assert "pictures in pipes" in str(work.result.error)
    small_memory(1 << 30)
    work = run.new(job)
    work.begin()
    assert work.result.error is None
    work.close()


def test_memory_that_would_be_short_while_another_picture_is_there(
    twice: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(waves(3, np.uint8)).save(tmp_path / "a.bmp")
    rooms = iter([0])
    monkeypatch.setattr(memory, "available", lambda device: memory.RESERVE + next(rooms, 1 << 30))
    results: list[Result] = []
    job = Job(tmp_path / "a.bmp", tmp_path / "out.png")
    run(Run(twice, Choices()), [job], lambda _, result: results.append(result), lambda _: nullcontext(print), print)
    assert [result.error for result in results] == [None]


def test_a_file_that_is_no_image_is_left_to_the_decoder(twice: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"no image")
    assert not stream.needed(path, tmp_path / "out.png", twice, Choices())


@pytest.mark.parametrize(
    ("size", "dtype", "channels"), [((70, 50), np.uint8, 3), ((50, 70), np.uint16, 3), ((50, 70), np.uint16, 1)]
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_head_of_a_file_tells_its_size(
    size: tuple[int, int], dtype: type[np.generic], channels: int, suffix: str, tmp_path: Path
) -> None:
    pixels = waves(channels, dtype, *size)
    head = footprint.header(save(tmp_path / f"a{suffix}", pixels))
    assert head is not None
    assert (head.height, head.width) == size
    assert head.pixels == pixels.nbytes
    assert not head.at_once


def test_the_head_of_an_avif_file(tmp_path: Path) -> None:
    head = footprint.header(save(tmp_path / "a.avif", waves(3, np.uint8, 50, 70)))
    assert head is not None
    assert (head.height, head.width, head.at_once) == (50, 70, True)


def test_a_gigantic_head_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = bytearray(cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    head = footprint.header(path)
    assert head is not None
    assert head.pixels == 60000**2


def test_nothing_here_needs_pyvips_to_be_imported() -> None:
    program = (
        "import sys; sys.modules['pyvips'] = None\n"
        "from mambair_cli.images import band_writer, bands, vips\n"
        "from mambair_cli.restoration import stream\n"
        "print(vips.available())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_peak_is_reported(twice: Model, tmp_path: Path) -> None:
    source, report = save(tmp_path / "a.png", waves(3, np.uint8)), Report()
    stream.restore_file(source, tmp_path / "o.png", tmp_path / "o.png", twice, Choices(tile=48), report=report)
    assert report.peak_memory >= memory.peak(torch.device("cpu")) // 2


@pytest.mark.parametrize("starved", [False, True])
def test_a_run_streams_what_memory_does_not_hold(
    starved: bool, twice: Model, tmp_path: Path, small_memory: Callable[[int], None]
) -> None:
    source, target = save(tmp_path / "a.png", waves(3, np.uint8)), tmp_path / "out" / "a_x2.png"
    if starved:
        small_memory(150 * 90 * 3)
    work = Run(twice, Choices(tile=8)).new(Job(source, target))
    work.begin()
    assert (work.picture is None) is starved
    work.restore(lambda done, total: None)
    work.finish()
    assert work.result.error is None
    assert (work.result.width, work.result.height) == (90, 150)
    assert np.array_equal(decode(target).pixels, restore(decode(source).pixels, twice))
    assert [path.name for path in target.parent.iterdir()] == ["a_x2.png"]


def test_a_comparison_of_a_large_picture_is_refused(
    twice: Model, tmp_path: Path, small_memory: Callable[[int], None]
) -> None:
    source, target = save(tmp_path / "a.png", waves(3, np.uint8)), tmp_path / "a_x2.png"
    small_memory(150 * 90 * 3)
    work = Run(twice, Choices(tile=8)).new(Job(source, target, compare=tmp_path / "c.png"))
    work.begin()
    assert "--compare has to see all of it" in str(work.result.error)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_cmyk_is_converted_alike(twice: Model, tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    Image.fromarray(waves(3, np.uint8)).convert("CMYK").save(source, quality=95)
    streamed, expected = both(source, tmp_path / "out.png", twice)
    assert np.array_equal(streamed.pixels, expected.pixels)


def test_hidden_colours_are_made_up_alike(twice: Model, tmp_path: Path) -> None:
    pixels = waves(4, np.uint8, 300)
    pixels[50:200, 20:70, 3] = 0
    seen = replace(twice, network=Stub(pointwise(2)))
    streamed, expected = both(save(tmp_path / "a.png", pixels), tmp_path / "out.png", seen)
    assert np.array_equal(streamed.pixels, expected.pixels)
