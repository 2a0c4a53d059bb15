"""The table: format x depth x channels x orientation x profile, from a foreign file to what a foreign reader finds."""

import io
from itertools import product
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mambair_cli.images.decode import decode_bytes
from mambair_cli.images.encode import encode, fit
from mambair_cli.images.picture import Metadata, Picture
from mambair_cli.restoration.engine import Settings, restore

from . import foreign
from .foreign import CAMERA, XMP, Pixels

TRANSPOSE = Image.Transpose
TURNS = {
    1: None,
    2: TRANSPOSE.FLIP_LEFT_RIGHT,
    3: TRANSPOSE.ROTATE_180,
    4: TRANSPOSE.FLIP_TOP_BOTTOM,
    5: TRANSPOSE.TRANSPOSE,
    6: TRANSPOSE.ROTATE_270,
    7: TRANSPOSE.TRANSVERSE,
    8: TRANSPOSE.ROTATE_90,
}
"""What makes a stored picture upright (EXIF 2.32, figure of tag 0x0112)."""

PILLOW = {".jpg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".avif": "AVIF", ".tif": "TIFF"}
HOLDS = {".png": (8, 16), ".tif": (8, 16, 32), ".jpg": (8,), ".webp": (8,), ".bmp": (8,), ".avif": (8,)}
CHANNELS = {".jpg": (1, 3), ".bmp": (1, 3)}
TYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}
PROFILES = {"none": b"", "sRGB": foreign.SRGB, "wide": foreign.wide()}

IN = [
    (suffix, depth, channels)
    for suffix, depths in HOLDS.items()
    for depth, channels in product(depths, CHANNELS.get(suffix, (1, 2, 3, 4)))
    if (suffix, channels) not in {(".webp", 1), (".webp", 2), (".avif", 1), (".avif", 2)}
    and (depth, channels) != (32, 2)
]
"""Pillow writes gray WebP and AVIF as colour."""


def make(depth: int, channels: int) -> Pixels:
    """Smooth, so that lossy formats come close; transparent and hidden pixels too."""
    y, x = np.mgrid[0:10, 0:14]
    values = np.stack([(x + 2 * y) / 32, (13 - x + y) / 24, (x * y) / 130, np.minimum(x / 10, 1)], axis=2)
    picked = values[:, :, [0, 3] if channels == 2 else range(channels)]
    if depth == 32:
        return picked.astype(np.float32)
    pixels: Pixels = np.rint(picked * (2**depth - 1)).astype(TYPES[depth])
    return pixels + np.arange(14)[:, None].astype(pixels.dtype) % 3 if channels in (1, 3) and depth == 16 else pixels


def turned(pixels: Pixels, orientation: int) -> Pixels:
    turn = TURNS[orientation]
    if turn is None:
        return pixels
    planes = [
        np.asarray(Image.fromarray(plane.astype(np.float32)).transpose(turn)) for plane in np.moveaxis(pixels, 2, 0)
    ]
    return np.stack(planes, axis=2).astype(pixels.dtype)


def write(suffix: str, pixels: Pixels, orientation: int, icc: bytes) -> bytes:
    """A file as a camera or an editor writes it."""
    blocks = {"exif": foreign.exif(orientation), "icc": icc, "xmp": XMP % orientation}
    if suffix == ".png":
        return foreign.png(pixels, blocks)
    if suffix == ".tif":
        return with_pillow(pixels, orientation, icc) if pixels.dtype == np.uint8 else by_hand(pixels, orientation, icc)
    options: dict[str, Any] = {"lossless": True, "exact": True} if suffix == ".webp" else {"quality": 100}
    if suffix != ".bmp":
        options |= {"icc_profile": icc or None, "xmp": blocks["xmp"], "exif": b"Exif\0\0" + blocks["exif"]}
    if suffix in (".jpg", ".avif"):
        options["subsampling"] = "4:4:4"
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, PILLOW[suffix], **options)
    return file.getvalue()


def with_pillow(pixels: Pixels, orientation: int, icc: bytes) -> bytes:
    exif = Image.Exif()
    exif.load(foreign.exif(orientation))
    file = io.BytesIO()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    exif[700] = XMP % orientation
    image.save(file, "TIFF", exif=exif, icc_profile=icc or None)
    return file.getvalue()


def by_hand(pixels: Pixels, orientation: int, icc: bytes) -> bytes:
    tags: dict[int, tuple[int, Any]] = {274: (3, [orientation]), 271: (2, b"camera\0"), 700: (1, XMP % orientation)}
    return foreign.tiff(pixels, "<" if orientation % 2 else ">", tags | ({34675: (7, icc)} if icc else {}))


def identity(picture: Picture) -> Picture:
    """Through the engine in tiles, with a network that changes nothing."""
    settings = Settings(scale=1, channels=3, tile=8, overlap=2)
    return Picture(restore(picture.pixels, torch.clone, settings), picture.metadata, picture.notes)


def assert_same(found: Pixels, expected: Pixels, tolerance: float) -> None:
    """Equal but for colours that nobody sees."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    seen = np.where(expected[:, :, -1:] > 0, expected, 0) if expected.shape[2] in (2, 4) else expected
    there = np.where(found[:, :, -1:] > 0, found, 0) if expected.shape[2] in (2, 4) else found
    assert np.abs(seen.astype(float) - there).max() <= tolerance


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "depth", "channels"), IN)
def test_same_format(suffix: str, depth: int, channels: int, orientation: int, profile: str) -> None:
    orientation = 1 if suffix == ".bmp" else orientation
    gray = channels < 3 and profile != "none"
    icc = foreign.GRAY if gray else PROFILES[profile]
    pixels = make(depth, channels)
    restored = identity(decode_bytes(write(suffix, pixels, orientation, icc), f"in{suffix}"))
    fitting = fit(restored, suffix)
    data = encode(fitting, suffix)
    found, blocks = read(suffix, data)
    # A lossy input of quality 100 is bounded by rounding to and from YCbCr; what we write of it, likewise.
    assert_same(found, turned(pixels, orientation), {".jpg": 6, ".avif": 4}.get(suffix, 0))
    assert fitting.notes == ()
    if suffix != ".bmp":
        assert blocks["icc"] == icc
        assert blocks["xmp"] == XMP % 1
        by_hand_only = suffix == ".tif" and depth > 8
        assert foreign.facts(blocks["exif"]) == CAMERA | ({"exposure": None, "latitude": None} if by_hand_only else {})


def read(suffix: str, data: bytes) -> tuple[Pixels, dict[str, bytes]]:
    """By hand where Pillow falls short: PNG everywhere, deep TIFF files for the pixels."""
    if suffix == ".png":
        return foreign.read_png(data)
    if suffix != ".tif":
        return foreign.read_pillow(data)
    return foreign.read_tiff(data)


OUT = [".png", ".tif", ".jpg", ".webp", ".bmp", ".avif"]


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", OUT)
def test_other_formats(suffix: str, channels: int, depth: int) -> None:
    """A PNG goes into every format with all that this one holds, and a note for everything else."""
    icc = foreign.GRAY if channels < 3 else foreign.wide()
    pixels = make(depth, channels)
    restored = identity(decode_bytes(write(".png", pixels, 6, icc), "in.png"))
    fitting = fit(restored, suffix)
    found, blocks = read(suffix, encode(fitting, suffix))
    expected = turned(pixels, 6)
    if channels in (2, 4) and suffix == ".jpg":
        seen = expected[:, :, -1:] > 0
        expected, found = expected[:, :, :-1] * seen, found * seen
    if depth == 16 and suffix not in (".png", ".tif"):
        expected = np.rint(expected / 257).astype(np.uint8)
    if (suffix == ".webp" and channels < 3) or (suffix in (".bmp", ".avif") and channels == 2):
        expected = expected[:, :, [0, 0, 0, 1][: 4 if channels == 2 else 3]]
    assert_same(found, expected, {".jpg": 8, ".avif": 1 if depth == 16 else 0}.get(suffix, 0))
    kept = suffix not in (".webp", ".bmp") if channels == 1 else suffix not in (".webp", ".bmp", ".avif")
    kept = kept if channels < 3 else suffix != ".bmp"
    assert blocks["icc"] == (icc if kept else b"")
    assert any("profile" in note for note in fitting.notes) is not kept
    assert any("16" in note for note in fitting.notes) is (depth == 16 and suffix not in (".png", ".tif"))
    assert any("transparency" in note for note in fitting.notes) is (channels in (2, 4) and suffix == ".jpg")
    assert foreign.facts(blocks["exif"]) == ({} if suffix == ".bmp" else CAMERA)
    assert blocks["xmp"] == (b"" if suffix == ".bmp" else XMP % 1)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif(bits: int, channels: int) -> None:
    """No other reader is at hand: the pixels are OpenCV's, which leaves the 10 or 12 bits as they are."""
    pixels = make(16, channels) >> (16 - bits)
    ordered = (
        pixels if channels == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGRA)
    )
    data = cv2.imencode(".avif", ordered, [cv2.IMWRITE_AVIF_DEPTH, bits, cv2.IMWRITE_AVIF_QUALITY, 100])[1].tobytes()
    restored = identity(decode_bytes(data, "in.avif"))
    top = 2**bits - 1
    assert_same(restored.pixels, np.rint(pixels * (65535 / top)).astype(np.uint16), 0)
    again = encode(restored, ".avif")
    stored = cv2.imdecode(np.frombuffer(again, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    stored = np.atleast_3d(stored)
    if channels > 1:
        stored = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB if channels == 3 else cv2.COLOR_BGRA2RGBA)
    assert_same(stored, np.rint(pixels * (4095 / top)).astype(np.uint16), 0)
    assert fit(restored, ".avif").notes == (".avif holds 12 bits per channel, not 16",)


def test_metadata_is_that_of_the_picture_alone() -> None:
    assert decode_bytes(foreign.png(make(8, 3)), "in.png").metadata == Metadata()
