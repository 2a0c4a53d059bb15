"""Coverage-guided fuzzing of our own parsers, by atheris (``pip install atheris``, Linux and macOS).

python -m benchmarks.fuzz.parsers png|tiff|exif|xmp|jpeg|boxes|catalogue|recipe [CORPUS] [-max_total_time=600] [...]

Each takes any bytes, raises only what its docstring names, and keeps its promises. The arguments behind the parser are
libFuzzer's: a folder of examples, into which it puts those that reach something new, and its options. What breaks a
promise ends the run and lies in ``crash-...``, whose name as an argument tries it again.
"""

import io
import sys
from collections.abc import Callable
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["mambair_cli"]):
    from mambair_cli.data import catalog as data_catalog
    from mambair_cli.data.fetch import sources
    from mambair_cli.errors import UsageError
    from mambair_cli.images import avif, exif, isobmff, jpeg, jxl, png, tiff, tiff_tags
    from mambair_cli.training.recipe import locations
    from mambair_cli.weights import catalog as weights_catalog

LARGEST = 1 << 20
"""Bytes that the result for an input of some kilobytes may have."""


def png_chunks(data: bytes) -> None:
    """Everything that is found around the pixels; broken chunks end it."""
    with suppress(ValueError):
        chunks = png.Chunks.of(io.BytesIO(png.SIGNATURE + data))
        for block in (chunks.text(), chunks.gamma()):
            assert block in data or len(block) <= len(data)
        assert len(chunks.cicp()) in (0, 2)


def tiff_directories(data: bytes) -> None:
    """The first directory, the layout that it gives, and the file as classic TIFF with the same tags."""
    with suppress(ValueError):
        before = tiff_tags.Directory.first(io.BytesIO(data))
        tiff_tags.Layout.of(before)
        rewritten = tiff_tags.classic(data)
        assert len(rewritten) <= max(LARGEST, 4 * len(data))
        after = tiff_tags.Directory.first(io.BytesIO(rewritten))
        if tiff_tags.BIG in data[2:4]:
            assert after.values.keys() == before.values.keys()
            assert tiff_tags.Layout.of(after) == tiff_tags.Layout.of(before)
    for look in (tiff.header, tiff.around):
        with suppress(ValueError):
            look(io.BytesIO(data))


def exif_blocks(data: bytes) -> None:
    """Blocks come out upright or not at all, and do not change any more."""
    block, orientation = exif.upright_exif(data)
    assert isinstance(orientation, int)
    if block:
        assert exif.upright_exif(block) == (block, 1)
    exif.for_tiff(data)
    exif.from_tiff(io.BytesIO(data))


def xmp_packets(data: bytes) -> None:
    """The same of XMP."""
    packet = exif.upright_xmp(data)
    assert exif.xmp_orientation(packet) == 1
    assert len(packet) <= len(data)


def jpeg_segments(data: bytes) -> None:
    """Segments of a file, its head, and whether it lacks scans."""
    list(jpeg.segments(data))
    with suppress(ValueError):
        jpeg.header(io.BytesIO(data))


def boxes(data: bytes) -> None:
    """Heads of AVIF, HEIC and JPEG XL."""
    for header in (isobmff.header, jxl.header):
        with suppress(ValueError):
            header(io.BytesIO(data))
    assert len(avif.bare(data)) == len(data)


def catalogues(data: bytes) -> None:
    """Both catalogues, and the sources of files that they and people name."""
    text = data.decode(errors="replace")
    for parse in (weights_catalog.parsed, data_catalog.parsed):
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # they come with the package
            parse(text)
    with suppress(UsageError):
        name = sources.file_name(sources.parse(text))
        assert not sources.UNSAFE.search(name)
        assert name not in (".", "..")


def recipes(data: bytes) -> None:
    """A recipe with an override; every place that is named lies in the text."""
    text, _, change = data.decode(errors="replace").partition("\0")
    document = locations.read(text, "recipe.yml")
    if isinstance(document.data, dict):
        locations.override(document, change)
    for mistake in document.mistakes:
        assert mistake.place.line <= text.count("\n") + text.count("\r") + change.count("\n") + 2


PARSERS: dict[str, Callable[[bytes], None]] = {
    "png": png_chunks,
    "tiff": tiff_directories,
    "exif": exif_blocks,
    "xmp": xmp_packets,
    "jpeg": jpeg_segments,
    "boxes": boxes,
    "catalogue": catalogues,
    "recipe": recipes,
}


def main() -> None:
    """See the module."""
    if len(sys.argv) < 2 or sys.argv[1] not in PARSERS:
        sys.exit(__doc__)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], PARSERS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
