"""Profiles: kept, converted where the colours are neither gray nor RGB, and what ``strip`` leaves."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from mambair_cli.images import profiles
from mambair_cli.images.decode import decode, decode_bytes
from mambair_cli.images.encode import encode, fit
from mambair_cli.images.picture import Metadata, Picture

from . import foreign

INKS = {"paper": (0, 0, 0, 0), "cyan": (255, 0, 0, 0), "black": (0, 0, 0, 255)}
PRINTED = {"paper": (255, 255, 255), "cyan": (255, 0, 0), "black": (0, 0, 0)}
"""What the odd press of ``foreign.cmyk`` makes of these inks."""

PLAIN = {"paper": (255, 255, 255), "cyan": (0, 255, 255), "black": (0, 0, 0)}


def cmyk_file(kind: str, ink: str, icc: bytes, orientation: int = 1) -> bytes:
    file, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.new("CMYK", (8, 16), INKS[ink])
    image.save(file, kind, icc_profile=icc, exif=exif, quality=95)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_goes_through_its_profile(kind: str, ink: str, orientation: int) -> None:
    found = decode_bytes(cmyk_file(kind, ink, foreign.cmyk(), orientation), "a")
    assert found.pixels.shape == ((8, 16, 3) if orientation == 6 else (16, 8, 3))
    assert np.abs(found.pixels.astype(int) - PRINTED[ink]).max() < 8
    assert found.notes == ("CMYK colours are converted to sRGB by the profile in the file",)
    assert found.metadata.icc == b""


BROKEN = foreign.cmyk()[:128] + bytes(len(foreign.cmyk()) - 128)


@pytest.mark.parametrize("icc", [b"", foreign.SRGB, BROKEN], ids=["none", "of RGB", "broken"])
@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_usable_profile(kind: str, ink: str, icc: bytes) -> None:
    found = decode_bytes(cmyk_file(kind, ink, icc), "a")
    assert np.abs(found.pixels.astype(int) - PLAIN[ink]).max() < 4
    assert found.notes[-1] == "CMYK colours are converted to RGB by a plain formula, without a usable profile"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_no_profile_of_cmyk_reaches_an_rgb_file(suffix: str) -> None:
    data = encode(decode_bytes(cmyk_file("JPEG", "cyan", foreign.cmyk()), "a"), suffix)
    with Image.open(io.BytesIO(data)) as image:
        assert "icc_profile" not in image.info


def test_lab_becomes_srgb(tmp_path: Path) -> None:
    Image.new("LAB", (4, 4), (round(54.29 * 2.55), 128 + 81, 128 + 70)).save(tmp_path / "a.tif")
    found = decode(tmp_path / "a.tif")
    assert np.abs(found.pixels.astype(int) - (255, 0, 0)).max() < 8
    assert found.notes == ("Lab colours are converted to sRGB",)


def test_colours_by_number_are_kept_or_said_to_be_lost(rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (5, 6, 3), np.uint8)
    data = foreign.png(pixels)
    for numbers, said in {(1, 13): 0, (12, 13): 1, (9, 16): 1}.items():
        found = decode_bytes(data[:33] + foreign.chunk(b"cICP", bytes([*numbers, 0, 1])) + data[33:], "a")
        assert np.array_equal(found.pixels, pixels)
        assert found.metadata.cicp == bytes(numbers) * said
        for suffix in (".png", ".avif"):
            assert decode_bytes(encode(found, suffix), "a").metadata.cicp == found.metadata.cicp
        lost = ("colours given by numbers (CICP) cannot be written to .jpg",)
        assert fit(found, ".jpg").notes == lost * said
    avif = encode(Picture(pixels), ".avif")
    assert decode_bytes(avif, "a").metadata.cicp == b""
    named = avif.replace(b"colrnclx" + struct.pack(">HH", 2, 2), b"colrnclx" + struct.pack(">HH", 12, 16))
    assert decode_bytes(named, "a").metadata.cicp == bytes([12, 16])


def test_srgb_is_known_by_its_colours() -> None:
    assert profiles.is_srgb(foreign.SRGB)
    assert not profiles.is_srgb(foreign.wide())
    assert not profiles.is_srgb(foreign.GRAY)
    assert not profiles.is_srgb(foreign.cmyk())
    assert not profiles.is_srgb(foreign.SRGB[:140] + bytes(len(foreign.SRGB) - 140))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("profile", ["none", "srgb", "wide"])
def test_strip_drops_what_does_not_change_the_picture(suffix: str, profile: str, rng: np.random.Generator) -> None:
    icc = {"none": b"", "srgb": foreign.SRGB, "wide": foreign.wide()}[profile]
    pixels = rng.integers(0, 65536, (6, 9, 3), np.uint16)
    if suffix == ".png":
        data = foreign.png(pixels, {"exif": foreign.exif(6), "icc": icc, "xmp": foreign.XMP % 6})
    else:
        data = foreign.tiff(pixels, tags={274: (3, [6]), 271: (2, b"x\0"), **({34675: (7, icc)} if icc else {})})
    found = decode_bytes(data, "a", strip=True)
    assert np.array_equal(found.pixels, np.rot90(pixels, -1))
    assert found.metadata == Metadata(icc=icc if profile == "wide" else b"")
    kept = "the colour profile is kept, without it the colours would change"
    assert found.notes == ((kept,) if profile == "wide" else ())


@pytest.mark.parametrize(
    "icc", [b"x" * 200, foreign.SRGB[:-1], foreign.SRGB[:36] + b"nope" + foreign.SRGB[40:], b"short"]
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_damaged_profile_is_left_out(suffix: str, icc: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = np.zeros((4, 5, 3), np.uint8)
    data = foreign.png(pixels, {"icc": icc}) if suffix == ".png" else foreign.tiff(pixels, tags={34675: (7, icc)})
    found = decode_bytes(data, "a")
    assert (found.metadata.icc, found.notes) == (b"", ("the colour profile is damaged and left out",))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_a_profile_of_many_segments(suffix: str) -> None:
    size = 200_000
    icc = size.to_bytes(4, "big") + foreign.SRGB[4:] + bytes(range(256)) * 782
    icc = icc[:size]
    data = encode(Picture(np.zeros((8, 8, 3), np.uint8), Metadata(icc=icc)), suffix)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == icc
