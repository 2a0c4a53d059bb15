"""What decoders say of damaged files: they print it to standard error, without the file's name, and go on."""

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MENDED = "parts of the file are damaged, and of the picture may be wrong"

STDERR = 2

COMPLAINT = re.compile(
    rb"(?:Corrupt JPEG data|Premature end of JPEG file|Invalid SOS parameters|Inconsistent progression sequence"
    rb"|Warning: unknown JFIF|Unknown Adobe color transform|Application transferred too|libpng (?:warning|error)"
    rb"|_?\w*(?:TIFF|JPEG|ZIP|LZW|PackBits|Fax|LogL|LogLuv|Pixar|JBIG|LERC|ZSTD|LZMA)\w*: |tempfile\.tif: "
    rb"|(?m:^)(?!\w*(?:Error|Warning|Exception|Hint|Note): )[A-Z]\w+: |\[ ?(?:WARN|ERROR):\d)[^\n]*(?:\n+>[^\n]*)*\n*"
)
"""Texts of libjpeg, libpng, libtiff (which begins with names of functions) and OpenCV, to the end of their lines."""

HARMLESS = re.compile(
    r"unknown JFIF revision|Unknown Adobe color transform|Application transferred too|Unknown field"
    r"|Extra compressed data|tRNS chunk has out-of-range samples"
)
"""Which of them say nothing against the pixels."""

_lock = threading.RLock()
_depth = 0


@contextmanager
def listening() -> Iterator[list[str]]:
    """Keep what decoders print from standard error; the list is filled at the end, with what means damage.

    Standard error belongs to the process, so one thread at a time. What others print meanwhile comes out at the end,
    and inside of another ``listening`` all of it does.
    """
    global _depth
    heard: list[str] = []
    with _lock:
        try:
            file, own = tempfile.TemporaryFile(buffering=0), os.dup(STDERR)  # noqa: SIM115
        except OSError:  # no room or no standard error; then nobody is disturbed either
            yield heard
            return
        _depth += 1
        os.dup2(file.fileno(), STDERR)
        try:
            yield heard
        finally:
            os.dup2(own, STDERR)
            os.close(own)
            _depth -= 1
            file.seek(0)
            text = file.read()
            file.close()
            complaints = [found[0] for found in COMPLAINT.finditer(text)]
            lines = [complaint.decode(errors="replace").strip() for complaint in complaints]
            heard += [line for line in lines if not HARMLESS.search(line)]
            rest = text if _depth else COMPLAINT.sub(b"", text)
            if rest:
                with suppress(OSError):
                    os.write(STDERR, rest)
