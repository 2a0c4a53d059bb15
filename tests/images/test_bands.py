"""Pictures read and written in bands are those read and written at once."""

import io
import shutil
import struct
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from mambair_cli.errors import InputError, OutputError
from mambair_cli.images import band_writer, bands, vips
from mambair_cli.images.decode import decode
from mambair_cli.images.picture import Metadata, Pixels
from mambair_cli.restoration.sources import BLOCK
from tests.images import foreign

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf/></x:xmpmeta>'


def waves(channels: int, dtype: type[np.generic], height: int = 150, width: int = 90) -> Pixels:
    """A smooth picture with a transparent patch."""
    y, x = np.mgrid[:height, :width]
    top = np.iinfo(dtype).max  # type: ignore[type-var]
    picture = np.stack([(np.sin(x / 7 + k) + np.cos(y / 9 + k) + 2) / 4 * top for k in range(channels)], axis=2)
    if channels in (2, 4):
        picture[10:20, 10:30, -1] = 0
    return picture.astype(dtype)


def exif(orientation: int = 1) -> bytes:
    block = Image.Exif()
    block[ExifTags.Base.Make] = "Acme"
    block[ExifTags.Base.Orientation] = orientation
    block[ExifTags.Base.XResolution] = block[ExifTags.Base.YResolution] = 300.0
    block[ExifTags.Base.ResolutionUnit] = 2
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] = 2.8
    return block.tobytes()


def in_bands(path: Path, step: int = 40) -> Pixels:
    """All rows, asked for as the engine does: overlapping, and with those above released."""
    with bands.opened(path, path.with_suffix(".scratch")) as source:
        height = source.shape[0]
        parts = []
        for row in range(0, height, step):
            around = source.rows(max(0, row - 5), min(height, row + step + 5))
            parts.append(around[min(row, 5) :][:step].copy())
            source.release(max(0, row + step - 5))
        assert sum(len(part) for part in parts) == height
        assert not path.with_suffix(".scratch").exists()
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels"),
    [
        *product((".png", ".tif"), (np.uint8, np.uint16), (1, 3, 4)),
        *product((".jpg",), (np.uint8,), (1, 3)),
        *product((".webp",), (np.uint8,), (1, 3, 4)),
    ],
)
def test_bands_are_what_decoding_at_once_gives(
    suffix: str, dtype: type[np.generic], channels: int, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    order = [2, 1, 0, 3][:channels] if channels > 1 else [0]
    cv2.imwrite(str(path), waves(channels, dtype)[:, :, order])
    expected = decode(path).pixels
    found = in_bands(path)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [*product(("1", "L", "LA", "P", "RGB", "RGBA"), (".png", ".tif")), ("CMYK", ".tif")],
)
def test_other_kinds_of_files(mode: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(waves(3, np.uint8)).convert("RGB").convert("L" if mode == "LA" else mode).convert(mode).save(path)
    assert np.array_equal(in_bands(path), decode(path).pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_every_orientation_is_applied_once(orientation: int, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    tags = {"tiffinfo": {274: orientation}} if suffix == ".tif" else {"exif": exif(orientation)}
    Image.fromarray(waves(3, np.uint8)).save(path, **tags)
    assert np.array_equal(in_bands(path), decode(path).pixels)


@pytest.mark.parametrize("orientation", [2, 3, 5])
def test_a_long_picture_is_turned(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"  # longer than what a decoder that goes forward keeps behind it
    Image.fromarray(waves(1, np.uint8, 6000, 20)[:, :, 0]).save(path, exif=exif(orientation))
    assert np.array_equal(in_bands(path), decode(path).pixels)


def test_rows_do_not_come_back(tmp_path: Path) -> None:
    Image.fromarray(waves(3, np.uint8)).save(tmp_path / "a.png")
    with bands.opened(tmp_path / "a.png", tmp_path / "scratch") as source:
        source.rows(0, 50)
        source.release(20)
        with pytest.raises(ValueError, match="row 19"):
            source.rows(19, 50)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_second_pass_gives_the_same(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(waves(3, np.uint8)).save(path, exif=exif(orientation))
    with bands.opened(path, tmp_path / "scratch") as source:
        first = source.rows(0, source.shape[0]).copy()
        source.release(100)
        source.restart()
        assert np.array_equal(source.rows(0, source.shape[0]), first)


def test_few_rows_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(waves(1, np.uint8, 2000)[:, :, 0]).save(path)
    with bands.opened(path, tmp_path / "scratch") as source:
        for row in range(0, 2000, 10):
            source.rows(row, row + 10)
            source.release(row)
            assert sum(len(part) for part in source.kept) <= bands.READ + 10


def test_a_truncated_file_is_noticed_where_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:150000])
    with bands.opened(path, tmp_path / "scratch") as source:
        source.rows(0, 100)
        with pytest.raises(InputError, match="damaged or truncated"):
            source.rows(100, 300)


def test_what_is_not_read_in_bands_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    cv2.imwrite(str(path), np.zeros((9, 9, 3), np.float32))
    with pytest.raises(InputError, match="holds 3 channels of float values"), bands.opened(path, tmp_path / "scratch"):
        pass


def test_no_room_to_turn_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(waves(3, np.uint8)).save(path, exif=exif(6))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(OutputError, match="only 0 MiB are free"), bands.opened(path, tmp_path / "scratch"):
        pass


def written(path: Path, pixels: Pixels, metadata: Metadata | None = None) -> None:
    height, width, channels = pixels.shape
    wanted = band_writer.Format(
        suffix=path.suffix,
        shape=(height, width, channels),
        dtype=pixels.dtype,
        metadata=replace(metadata or Metadata(), resolution=(300.0, 300.0)),
    )
    with band_writer.writing(path, wanted) as write:
        for row in range(0, height, 7):
            write(pixels[row : row + 7])


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels"),
    [
        *product((".png", ".tif", ".tiff"), (np.uint8, np.uint16), (1, 2, 3, 4)),
        *product((".webp",), (np.uint8,), (1, 2, 3, 4)),
    ],
)
def test_rows_come_back_from_the_file(suffix: str, dtype: type[np.generic], channels: int, tmp_path: Path) -> None:
    pixels, path = waves(channels, dtype), tmp_path / f"a{suffix}"
    written(path, pixels)
    found = in_bands(path)
    if suffix == ".webp" and channels < 3:
        pixels = pixels[:, :, [0] * 3 + [1] * (channels - 1)]
    assert found.dtype == dtype
    assert np.array_equal(found, pixels)
    assert np.array_equal(decode(path).pixels, pixels)


def test_a_jpeg_is_as_good_as_that_of_another_encoder(tmp_path: Path) -> None:
    pixels, path = waves(3, np.uint8), tmp_path / "a.jpg"
    written(path, pixels)
    with Image.open(path) as found:
        assert found.size == (90, 150)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=95, subsampling="4:4:4")
        with Image.open(buffer) as other:
            assert np.array_equal(np.asarray(found), np.asarray(other))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_metadata_as_another_reader_sees_them(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    block = b"" if suffix == ".tif" else exif()
    written(path, waves(3, np.uint8), Metadata(exif=block, icc=ICC, xmp=XMP))
    with Image.open(path) as image:
        tags = image.getexif()
        packet = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
        assert image.info["icc_profile"] == ICC
        assert (packet.encode() if isinstance(packet, str) else packet) == XMP
        assert tags[ExifTags.Base.Orientation] == 1
        per_inch = 2.54 if tags.get(ExifTags.Base.ResolutionUnit) == 3 else 1  # else it is per centimetre
        assert tags[ExifTags.Base.XResolution] * per_inch == pytest.approx(300, abs=0.01)
        if block:
            assert tags[ExifTags.Base.Make] == "Acme"
            assert tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FNumber] == pytest.approx(2.8)
    with bands.opened(path, tmp_path / "scratch") as source:
        assert (source.metadata.icc, source.metadata.xmp) == (ICC, XMP)


def test_a_full_disk_is_said_so(rng: np.random.Generator) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full here")
    pixels = rng.integers(0, 256, (2000, 500, 3), np.uint8)
    wanted = band_writer.Format(
        suffix=".png",
        shape=(2000, 500, 3),
        dtype=pixels.dtype,
        metadata=Metadata(),
    )
    with pytest.raises(OutputError, match="No space left"):
        _write_all(full, wanted, pixels)


def _write_all(path: Path, wanted: band_writer.Format, pixels: Pixels) -> None:
    with band_writer.writing(path, wanted) as write:
        for row in range(0, len(pixels), BLOCK):
            write(pixels[row : row + BLOCK])


def test_the_encoder_ends_when_the_work_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(RuntimeError, match="stopped"):
        _stop_half_way(path)
    with pytest.raises(InputError):
        decode(path)


def _stop_half_way(path: Path) -> None:
    wanted = band_writer.Format(
        suffix=".png",
        shape=(500, 90, 3),
        dtype=np.dtype(np.uint8),
        metadata=Metadata(),
    )
    with band_writer.writing(path, wanted) as write:
        write(waves(3, np.uint8))
        raise RuntimeError("stopped")


def test_the_reason_of_a_failure_is_its_last_line() -> None:
    error = RuntimeError("unable to call VipsForeignLoad\n  pngload: libspng: read failure.\n")
    assert vips.reason(error) == "read failure"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("meaning", [0, 1, 2])
def test_the_fourth_channel_of_a_tiff_file(meaning: int, dtype: type[np.generic], tmp_path: Path) -> None:
    pixels, path = waves(4, dtype), tmp_path / "a.tif"
    if meaning == 1:  # premultiplied
        pixels = np.minimum(pixels, pixels[:, :, 3:])
    path.write_bytes(foreign.tiff(pixels, tags={338: (3, [meaning])}))
    found, expected = in_bands(path), decode(path).pixels
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= (meaning == 1)  # divisions are rounded in two ways


def test_plain_ycbcr_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(waves(3, np.uint8)).convert("YCbCr").save(path)
    with pytest.raises(InputError, match="YCbCr"), bands.opened(path, tmp_path / "scratch"):
        pass


CAMERA = {
    271: (2, b"camera\0"),
    274: (3, [6]),
    282: (5, [300, 1]),
    283: (5, [150, 1]),
    296: (3, [2]),
    700: (1, foreign.XMP % 6),
    34665: (4, {33434: (5, [1, 2])}),
    34675: (7, foreign.SRGB),
    34853: (4, {1: (2, b"N\0")}),
}
"""Tags of a picture that lies on its side, so that its resolutions change places."""


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_stands_around_the_pixels_of_a_tiff_file(order: Literal["<", ">"], big: bool, tmp_path: Path) -> None:
    path, data = tmp_path / "a.tif", foreign.tiff(waves(3, np.uint8), order, CAMERA)
    path.write_bytes(foreign.big_tiff(data) if big else data)
    libtiff = vips.load().Image.new_from_file(str(path))
    assert (libtiff.xres * 25.4, libtiff.yres * 25.4) == (pytest.approx(300), pytest.approx(150))
    with bands.opened(path, tmp_path / "scratch") as source:
        found, notes = source.metadata, source.notes
    whole = decode(path)
    assert (found, notes) == (whole.metadata, whole.notes)
    assert foreign.facts(found.exif) == foreign.CAMERA
    assert found.resolution == (150, 300)
    assert (found.icc, found.xmp) == (foreign.SRGB, foreign.XMP % 1)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_further_pictures_of_a_tiff_file_are_counted(order: Literal["<", ">"], big: bool, tmp_path: Path) -> None:
    data = foreign.tiff(waves(1, np.uint8), order)
    data = foreign.big_tiff(data) if big else data
    size, letter = (8, "Q") if big else (4, "I")
    start = data[-size:], struct.unpack_from(f"{order}{letter}", data, size)[0]
    assert start[0] == bytes(size), "there is no second one"
    path = tmp_path / "a.tif"
    path.write_bytes(data[:-size] + struct.pack(f"{order}{letter}", len(data)) + data[start[1] :])
    assert vips.load().Image.new_from_file(str(path)).get("n-pages") == 2
    with bands.opened(path, tmp_path / "scratch") as source:
        assert source.notes == decode(path).notes == ("only the first of 2 pictures in the file is restored",)
