"""Image files written and read without the code under test: by hand after the specifications, and by Pillow."""

import io
import struct
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

Pixels = NDArray[Any]

PNG = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {0: 1, 2: 3, 4: 2, 6: 4}
"""Channels by the colour type of IHDR."""

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d" dc:title="caf\xc3\xa9"/></x:xmpmeta>'

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY = SRGB[:16] + b"GRAY" + SRGB[20:]


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def tag(icc: bytes, name: bytes) -> slice:
    """The place of a tag in a profile (ICC.1:2022, 7.3)."""
    (count,) = struct.unpack_from(">I", icc, 128)
    for entry in range(count):
        signature, start, size = struct.unpack_from(">4sII", icc, 132 + 12 * entry)
        if signature == name:
            return slice(start, start + size)
    raise KeyError(name)


def wide() -> bytes:
    """A profile with the primaries of Display P3."""
    icc = bytearray(SRGB)
    primaries = {
        b"r": (0.51512, 0.24120, -0.00105),
        b"g": (0.29198, 0.69225, 0.04189),
        b"b": (0.15710, 0.06657, 0.78407),
    }
    for name, values in primaries.items():
        icc[tag(SRGB, name + b"XYZ")] = xyz(*values)
    return bytes(icc)


def cmyk() -> bytes:
    """A profile for an odd press: paper is white, black is black, but cyan prints red; every other corner is gray."""
    corners = np.full((2, 2, 2, 2, 3), (128, 128, 128), np.uint8)
    corners[0, 0, 0, 0] = 255, 128, 128
    corners[:, :, :, 1] = 0, 128, 128
    corners[1, 0, 0, 0] = round(54.29 * 2.55), 128 + 81, 128 + 70  # sRGB's red in Lab, D50
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if k in (0, 4, 8) else 0 for k in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * ramp + corners.tobytes() + 3 * ramp
    white = xyz(0.9642, 1, 0.8249)
    tags = struct.pack(">I4sII4sII", 2, b"wtpt", 156, len(white), b"A2B0", 156 + len(white), len(table))
    header = struct.pack(
        ">I4sI4s4s4s", 128 + len(tags) + len(white) + len(table), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab "
    )
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + tags + white + table


def exif(orientation: int) -> bytes:
    """What a camera writes: its name, the exposure and a place."""
    block = Image.Exif()
    block[ExifTags.Base.Orientation] = orientation
    block[ExifTags.Base.Make] = "camera"
    block.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.5
    block.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return block.tobytes().removeprefix(b"Exif\0\0")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels: Pixels, blocks: Mapping[str, bytes] | None = None) -> bytes:
    """Any depth and channels, without filters; with metadata behind the pixels, where few look for it."""
    height, width, channels = pixels.shape
    kind = next(kind for kind, count in COLOUR_TYPES.items() if count == channels)
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    stride = width * channels * pixels.itemsize
    body = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride))
    given = blocks or {}
    data = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0))
    if given.get("icc"):
        data += chunk(b"iCCP", b"x\0\0" + zlib.compress(given["icc"]))
    data += chunk(b"IDAT", zlib.compress(body))
    if given.get("exif"):
        data += chunk(b"eXIf", given["exif"])
    if given.get("xmp"):
        data += chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + given["xmp"])
    return PNG + data + chunk(b"IEND", b"")


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    assert data.startswith(PNG)
    place = len(PNG)
    while place < len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        content = data[place + 8 : place + 8 + size]
        assert data[place : place + size + 12] == chunk(kind, content), "checksum"
        yield kind, content
        place += size + 12


def read_png(data: bytes) -> tuple[Pixels, dict[str, bytes]]:
    """The pixels at full depth and the metadata blocks of an 8- or 16-bit file without palette."""
    chunks = list(png_chunks(data))
    assert chunks[0][0] == b"IHDR"
    assert chunks[-1] == (b"IEND", b"")
    width, height, depth, kind = struct.unpack_from(">IIBB", chunks[0][1])
    channels = COLOUR_TYPES[kind]
    step = channels * depth // 8
    lines = np.frombuffer(zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT")), np.uint8)
    lines = lines.reshape(height, 1 + width * step)
    above, rows = [0] * (width * step), []
    for line in lines.tolist():
        above = unfilter(line[0], line[1:], above, step)
        rows.append(above)
    values = np.array(rows, np.uint8).view(f">u{depth // 8}").astype(f"u{depth // 8}")
    found = dict(chunks)
    blocks = {"exif": found.get(b"eXIf", b""), "icc": b"", "xmp": b""}
    if b"iCCP" in found:
        blocks["icc"] = zlib.decompress(found[b"iCCP"].split(b"\0\0", 1)[1])
    if b"iTXt" in found:
        blocks["xmp"] = found[b"iTXt"].removeprefix(b"XML:com.adobe.xmp" + bytes(5))
    return values.reshape(height, width, channels), blocks


def unfilter(kind: int, line: list[int], above: list[int], step: int) -> list[int]:
    """PNG specification, 9.2."""
    out: list[int] = []
    for at, value in enumerate(line):
        left = out[at - step] if at >= step else 0
        corner = above[at - step] if at >= step else 0
        up = above[at]
        distances = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        paeth = (left, up, corner)[distances.index(min(distances))]
        out.append((value + (0, left, up, (left + up) // 2, paeth)[kind]) % 256)
    return out


def tiff(
    pixels: Pixels,
    order: Literal["<", ">"] = "<",
    tags: Mapping[int, tuple[int, Any]] | None = None,
    strips: int = 2,
    without: Collection[int] = (),
) -> bytes:
    """Any depth and channels, without compression; further ``tags`` as (type, numbers or bytes or a folder)."""
    height, width, channels = pixels.shape
    stored = pixels.astype(pixels.dtype.newbyteorder(order))
    rows = -(-height // strips)
    parts = [stored[start : start + rows].tobytes() for start in range(0, height, rows)]
    starts = np.cumsum([8, *map(len, parts)]).tolist()
    entries: dict[int, tuple[int, Any]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8 * pixels.itemsize] * channels),
        259: (3, [1]),
        262: (3, [1 if channels < 3 else 2]),
        273: (4, starts[:-1]),
        277: (3, [channels]),
        278: (4, [rows]),
        279: (4, [len(part) for part in parts]),
        339: (3, [3 if pixels.dtype.kind == "f" else 1] * channels),
    }
    if channels in (2, 4):
        entries[338] = (3, [2])
    entries |= tags or {}
    entries = {key: entry for key, entry in entries.items() if key not in without}
    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 0) + b"".join(parts)
    data, table = _directory(entries, data, order)
    return data[:4] + struct.pack(f"{order}I", len(data)) + data[8:] + table


def _directory(entries: Mapping[int, tuple[int, Any]], data: bytes, order: str) -> tuple[bytes, bytes]:
    """What stands in front of a directory, and the directory; folders of tags are dictionaries."""
    table = struct.pack(f"{order}H", len(entries))
    for key, (kind, values) in sorted(entries.items()):
        if isinstance(values, Mapping):
            data, folder = _directory(values, data, order)
            values, data = [len(data)], data + folder
        value = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{'   HII'[kind]}", *values)
        if len(value) > 4:
            data += bytes(len(data) % 2)
            place, data = struct.pack(f"{order}I", len(data)), data + value
        else:
            place = value.ljust(4, b"\0")
        table += struct.pack(f"{order}HHI", key, kind, len(values) // (2 if kind == 5 else 1)) + place
    return data + bytes(len(data) % 2), table + bytes(4)


def big_tiff(small: bytes) -> bytes:
    """A classic file as BigTIFF (Adobe's and libtiff's proposal of 2007): eight bytes for counts and places."""
    order: Literal["<", ">"] = "<" if small[:2] == b"II" else ">"
    (place,) = struct.unpack_from(f"{order}I", small, 4)
    body, table = _big_directory(small, place, order, bytes(8) + small[8:])
    head = (b"II+\0" if order == "<" else b"MM\0+") + struct.pack(f"{order}HHQ", 8, 0, len(body) + 8)
    return head + body[8:] + table


def _big_directory(small: bytes, place: int, order: Literal["<", ">"], body: bytes) -> tuple[bytes, bytes]:
    """What stands in front of a directory, whose first eight bytes are not counted in places, and the directory."""
    (count,) = struct.unpack_from(f"{order}H", small, place)
    table = struct.pack(f"{order}Q", count)
    for at in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", small, at)
        size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}[kind] * number
        value = small[at + 8 : at + 8 + size]
        if size > 4:
            (start,) = struct.unpack_from(f"{order}I", small, at + 8)
            value = small[start : start + size]
        if tag == 273:
            kind, value = 16, struct.pack(f"{order}{number}Q", *(place + 8 for place in _longs(value, order)))
        if tag in (34665, 34853):
            body, folder = _big_directory(small, _longs(value, order)[0], order, body)
            kind, value, body = 18, struct.pack(f"{order}Q", len(body) + 8), body + folder
        if len(value) > 8:
            body += bytes(-len(body) % 8)
            value, body = struct.pack(f"{order}Q", len(body) + 8), body + value
        table += struct.pack(f"{order}HHQ", tag, kind, number) + value.ljust(8, b"\0")
    return body + bytes(-len(body) % 8), table + bytes(8)


def _longs(value: bytes, order: str) -> tuple[int, ...]:
    return struct.unpack(f"{order}{len(value) // 4}I", value)


def read_pillow(data: bytes) -> tuple[Pixels, dict[str, bytes]]:
    """Pixels in 8 bits, or 16 bits of gray, as they are stored; EXIF as the block of a camera."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        blocks = {"icc": image.info.get("icc_profile") or b"", "xmp": image.info.get("xmp") or b"", "exif": b""}
        found = image.getexif()
        if ExifTags.Base.Make in found:
            blocks["exif"] = found.tobytes()
        pixels = np.asarray(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None], blocks


def facts(block: bytes) -> dict[str, Any]:
    """What an EXIF block says of those things that :func:`exif` writes."""
    if not block:
        return {}
    found = Image.Exif()
    found.load(block)
    return {
        "orientation": found.get(ExifTags.Base.Orientation, 1),
        "make": found.get(ExifTags.Base.Make),
        "exposure": found.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ExposureTime),
        "latitude": found.get_ifd(ExifTags.IFD.GPSInfo).get(ExifTags.GPS.GPSLatitudeRef),
    }


CAMERA = {"orientation": 1, "make": "camera", "exposure": 0.5, "latitude": "N"}


def tiff_tags(data: bytes) -> dict[int, Any]:
    """The first directory (TIFF 6.0, section 2): tuples of numbers, or bytes."""
    order = {b"II*\0": "<", b"MM\0*": ">"}[data[:4]]
    (place,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, place)
    tags: dict[int, Any] = {}
    for at in range(place + 2, place + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, at)
        assert tag > max(tags, default=0), "tags must ascend"
        size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1}[kind] * number
        start = at + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, at + 8)[0]
        raw = data[start : start + size]
        assert len(raw) == size
        tags[tag] = struct.unpack(f"{order}{number}{'HI'[kind - 3]}", raw) if kind in (3, 4) else raw
    assert data[place + 2 + 12 * count :][:4] == bytes(4), "no further directory"
    return tags


def read_tiff(data: bytes) -> tuple[Pixels, dict[str, bytes]]:
    """The pixels at full depth, and the metadata as Pillow finds it where it opens the file, else by hand."""
    tags = tiff_tags(data)
    (width,), (height,), (channels,) = tags[256], tags[257], tags[277]
    assert tags[262] == ((2,) if channels > 2 else (1,))
    assert tags.get(338, (None,)) == ((2,) if channels in (2, 4) else (None,))
    bits, kind = set(tags[258]), set(tags[339])
    assert len(tags[258]) == channels
    dtype = np.dtype(f"{(data[:1] == b'M' and '>') or '<'}{'f' if kind == {3} else 'u'}{bits.pop() // 8}")
    unpackers: dict[int, Callable[[bytes], bytes]] = {1: bytes, 5: lzw, 8: zlib.decompress}
    unpack = unpackers[tags[259][0]]
    raw = b"".join(unpack(data[at : at + size]) for at, size in zip(tags[273], tags[279], strict=True))
    pixels = np.frombuffer(raw, dtype).reshape(height, width, channels).astype(dtype.newbyteorder("="))
    if tags.get(317) == (2,):
        pixels = np.cumsum(pixels, axis=1, dtype=pixels.dtype)
    found = Image.Exif()
    found.load_from_fp(io.BytesIO(data))
    exif = found.tobytes() if ExifTags.Base.Make in found else b""
    return pixels, {"exif": exif, "icc": tags.get(34675, b""), "xmp": tags.get(700, b"")}


def lzw(data: bytes) -> bytes:
    """TIFF 6.0, section 13."""
    bits = int.from_bytes(data, "big")
    place, width, out = len(data) * 8, 9, bytearray()
    table: list[bytes] = []
    before = b""
    while True:
        place -= width
        code = (bits >> place) & (2**width - 1)
        if code == 257:
            return bytes(out)
        if code == 256:
            table, width, before = [bytes([k]) for k in range(256)] + [b"", b""], 9, b""
            continue
        entry = table[code] if code < len(table) else before + before[:1]
        if before:
            table.append(before + entry[:1])
        out += entry
        before = entry
        width = 9 + sum(len(table) >= limit for limit in (511, 1023, 2047))
