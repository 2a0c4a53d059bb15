"""What files say beside their pixels: kept, made true, or named in a note."""

import io
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from mambair_cli.images import band_writer, exif, png
from mambair_cli.images.bands import opened
from mambair_cli.images.decode import decode, decode_bytes
from mambair_cli.images.encode import encode, fit
from mambair_cli.images.picture import Metadata, Picture

PIXELS = np.full((20, 30, 3), 90, np.uint8)


def saved(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


def chunked(kind: bytes, content: bytes, place: int = png.BODY) -> bytes:
    """A PNG with one more chunk."""
    data = saved("PNG")
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return data[:place] + chunk + data[place:]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_resolution_is_kept(kind: str, suffix: str) -> None:
    picture = decode_bytes(saved(kind, dpi=(300, 150)), "a")
    with Image.open(io.BytesIO(encode(picture, suffix))) as image:
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)


def test_resolution_turns_with_the_picture_and_is_not_invented() -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    assert decode_bytes(saved("JPEG", dpi=(300, 150), exif=turned), "a").metadata.resolution == (150, 300)
    assert decode_bytes(saved("JPEG", exif=turned), "a").metadata.resolution is None
    assert decode_bytes(saved("PNG"), "a").metadata.resolution is None


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("length", [20, 1_200_000])
def test_text_of_png_is_kept_in_png_and_named_elsewhere(compressed: bool, length: int) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "x" * length, zip=compressed)
    info.add_itxt("Title", "ein Bär")
    picture = decode_bytes(saved("PNG", pnginfo=info), "a")
    again = decode_bytes(encode(picture, ".png"), "a")
    assert again.metadata == picture.metadata
    assert b"parameters" in again.metadata.text
    assert "ein Bär".encode() in again.metadata.text
    assert fit(picture, ".tif").notes == ("text of PNG cannot be written to .tif",)


def test_xmp_and_exif_in_text_are_not_kept_twice() -> None:
    with_xmp = encode(Picture(PIXELS, Metadata(xmp=b"<x:xmpmeta/>")), ".png")
    found = decode_bytes(with_xmp, "a").metadata
    assert (found.xmp, found.text) == (b"<x:xmpmeta/>", b"")


def test_gamma_and_primaries_are_kept_unless_they_are_those_of_srgb() -> None:
    odd = decode_bytes(chunked(b"gAMA", (55100).to_bytes(4, "big")), "a")
    with Image.open(io.BytesIO(encode(odd, ".png"))) as image:
        assert image.info["gamma"] == pytest.approx(0.551)
    assert fit(odd, ".jpg").notes == ("gamma and primaries without a profile (gAMA, cHRM) cannot be written to .jpg",)
    assert decode_bytes(chunked(b"gAMA", (45455).to_bytes(4, "big")), "a").metadata.gamma == b""


def test_comments_iptc_and_broken_exif_are_named() -> None:
    assert decode_bytes(saved("JPEG", comment=b"shot by me"), "a").notes == ("the comment is left out",)
    plain = saved("JPEG")
    iptc = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x05\x1c\x02\x05\0\0\0"
    segment = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
    assert decode_bytes(plain[:2] + segment + plain[2:], "a").notes == ("IPTC data is left out",)
    broken = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    segment = b"\xff\xe1" + struct.pack(">H", len(broken) + 2) + broken
    assert decode_bytes(plain[:2] + segment + plain[2:], "a").notes == ("the EXIF block is damaged and left out",)


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
IPTC = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x05\x1c\x02\x05\0\0\0"
TURNED = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
BEHIND = -12
"""Where the last chunk of PNG begins, from the end."""

BROKEN = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"


def segment(marker: int, content: bytes) -> bytes:
    plain = saved("JPEG")
    return plain[:2] + b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content + plain[2:]


AROUND = {
    "text.png": chunked(b"tEXt", b"parameters\0a cat"),
    "gamma.png": chunked(b"gAMA", (55100).to_bytes(4, "big")),
    "hdr.png": chunked(b"cICP", bytes([12, 16, 0, 1])),
    "xmp_behind.png": chunked(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + XMP, BEHIND),
    "exif_behind.png": chunked(b"eXIf", TURNED, BEHIND),
    "dots.jpg": saved("JPEG", dpi=(300, 200)),
    "comment.jpg": saved("JPEG", comment=b"shot by me"),
    "iptc.jpg": segment(0xED, IPTC),
    "broken.jpg": segment(0xE1, BROKEN),
    "xmp.jpg": saved("JPEG", xmp=XMP),
    "xmp.webp": saved("WEBP", xmp=XMP, lossless=True),
    "xmp.tif": saved("TIFF", tiffinfo={700: XMP}),
    "iptc.tif": saved("TIFF", tiffinfo={33723: b"\x1c\x02\0\0", 270: "a cat"}, dpi=(300, 200)),
}


@pytest.mark.parametrize("name", AROUND)
def test_in_bands_all_is_kept_or_named_as_in_memory(name: str, tmp_path: Path) -> None:
    pytest.importorskip("pyvips", reason="pictures larger than memory need the extra 'large'")
    path = tmp_path / name
    path.write_bytes(AROUND[name])
    whole = decode_bytes(AROUND[name], name)
    with opened(path, tmp_path / "turned") as rows:
        assert (rows.metadata, rows.notes) == (whole.metadata, whole.notes)
        assert np.array_equal(rows.rows(0, rows.shape[0]), whole.pixels)
    assert whole.notes or whole.metadata != Metadata()


@pytest.mark.parametrize("name", ["text.png", "gamma.png", "hdr.png"])
def test_chunks_of_png_are_written_in_bands(name: str, tmp_path: Path) -> None:
    whole = decode_bytes(AROUND[name], name)
    path = tmp_path / "a.png"
    wanted = band_writer.Format(
        suffix=".png", shape=whole.pixels.shape, dtype=whole.pixels.dtype, metadata=whole.metadata
    )
    with band_writer.writing(path, wanted) as write:
        write(whole.pixels)
    assert decode(path).metadata == whole.metadata
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), whole.pixels)


def test_sizes_and_thumbnails_of_the_input_go() -> None:
    block = Image.Exif()
    block[ExifTags.Base.Make] = "camera"
    folder = block.get_ifd(ExifTags.IFD.Exif)
    folder |= {ExifTags.Base.ExifImageWidth: 30, ExifTags.Base.ExifImageHeight: 20, ExifTags.Base.FNumber: 2.8}
    kept, orientation = exif.upright_exif(block.tobytes())
    assert orientation == 1
    found = Image.Exif()
    found.load(kept)
    left = found.get_ifd(ExifTags.IFD.Exif)
    assert found[ExifTags.Base.Make] == "camera"
    assert ExifTags.Base.FNumber in left
    assert not {ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight} & set(left)
    packet = b"""<rdf:Description GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="30"
      exif:PixelXDimension='30'><GPano:CroppedAreaLeftPixels>0</GPano:CroppedAreaLeftPixels></rdf:Description>"""
    assert exif.upright_xmp(packet) == (
        b"""<rdf:Description GPano:ProjectionType="equirectangular"></rdf:Description>"""
    )


@pytest.mark.parametrize("orientation", [3, 6])
def test_orientation_in_xmp_counts_where_exif_says_none(orientation: int) -> None:
    packet = f'<rdf:Description tiff:Orientation="{orientation}"/>'.encode()
    found = decode_bytes(saved("JPEG", xmp=packet), "a")
    assert found.pixels.shape == ((30, 20, 3) if orientation == 6 else (20, 30, 3))
    assert found.metadata.xmp == b'<rdf:Description tiff:Orientation="1"/>'
    said = Image.Exif()
    said[ExifTags.Base.Orientation] = 1
    assert decode_bytes(saved("JPEG", xmp=packet, exif=said), "a").pixels.shape == (20, 30, 3)


def test_a_name_before_exif_goes_however_often_it_stands_there() -> None:
    block, orientation = exif.upright_exif(2 * b"Exif\0\0" + TURNED)
    assert orientation == 6
    assert block.startswith(b"MM\0*")


def test_blanks_in_xmp_are_looked_at_once() -> None:
    """Packets end with room for editors; one search per blank would take hours."""
    packet = b"<x" + b" " * 2_000_000 + b'GPano:FullPanoWidthPixels="4000"/>' + b" " * 2_000_000
    started = time.process_time()
    assert exif.upright_xmp(packet) == b"<x/>" + b" " * 2_000_000
    assert time.process_time() - started < 10
