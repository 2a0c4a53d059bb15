"""A whole file format of one's own: a magic number, width, height and channels, and bytes as they are."""

import re
import struct
from typing import BinaryIO

import numpy as np

from mambair_cli.images.header import Header
from mambair_cli.images.picture import Metadata, Picture, Pixels
from mambair_cli.plugins import Format, image_format

HEAD = struct.Struct("<4sHHB")


def header(file: BinaryIO) -> Header:
    _, width, height, channels = HEAD.unpack(file.read(HEAD.size))
    return Header(width, height, channels, depth=1)


def read(name: str, data: bytes) -> Picture:
    _, width, height, channels = HEAD.unpack(data[: HEAD.size])
    return Picture(np.frombuffer(data[HEAD.size :], np.uint8).reshape(height, width, channels))


def write(pixels: Pixels, metadata: Metadata, quality: int | None) -> bytes:
    height, width, channels = pixels.shape
    return HEAD.pack(b"TOY1", width, height, channels) + pixels.tobytes()


image_format(
    Format(
        name="toy",
        kind="a toy picture",
        mime=(),
        suffixes=(".toy",),
        content=re.compile(b"TOY1"),
        read=read,
        write=write,
        header=header,
        longest=300,
    )
)
