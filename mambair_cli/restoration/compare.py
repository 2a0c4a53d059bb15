"""Before and after in one picture, with an enlarged part where there is most to see."""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..images import planes
from ..images.picture import Pixels
from .resample import resized
from .sizes import Shape

Bytes = NDArray[np.uint8]

PANEL = 960
"""Longest edge in pixels of the reduced pictures."""

SMALLEST = 160
"""Least width in pixels of one half, so that its label can be read."""

ZOOM = 4
BLOCK = 64
GAP = 8
TEXT = 18
PAPER, INK, FRAME = 24, 240, 255
BOARD, SQUARE = (102, 153), 8
"""Behind transparent pixels: two grays in turn."""


def side_by_side(before: Pixels, after: Pixels) -> Bytes:
    """Input and result beside each other, below them the part of the result with most detail, enlarged four times.

    The input is shown at the size of the result, by bicubic interpolation. Large pictures are reduced; the part is not.

    Returns:
        (height, width, channels), uint8: gray if both pictures are, else RGB. Transparency shows a chessboard.
    """
    channels = 1 if before.shape[2] <= 2 and after.shape[2] <= 2 else 3
    pictures = [_shown(_enlarged(before, after.shape[:2]), channels), _shown(after, channels)]
    height, width = pictures[1].shape[:2]
    reduction = max(1.0, max(height, width) / PANEL)
    small = (max(1, round(height / reduction)), max(1, round(width / reduction)))
    across = max(small[1], SMALLEST)
    part = (min(height, PANEL // ZOOM, max(1, across * height // width // ZOOM)), min(width, across // ZOOM))
    top, left = _richest(pictures[1], part, cell=int(reduction))
    enlarged = ", bicubic" if before.shape[:2] != after.shape[:2] else ""
    labels = (f"before: {_size(before)}{enlarged}", f"after: {_size(after)}")
    columns = []
    for picture, label in zip(pictures, labels, strict=True):
        crop = picture[top : top + part[0], left : left + part[1]]
        overview = np.array(resized(picture, small))
        corner = (round(top / reduction), round(left / reduction))
        _frame(overview, corner, (round(part[0] / reduction), round(part[1] / reduction)))
        columns.append([_label(label, across, channels), overview, crop.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)])
    return _assembled(columns, across, channels)


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _enlarged(pixels: Pixels, shape: Shape) -> Pixels:
    if pixels.shape[:2] == shape:
        return pixels
    out: Pixels = cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return out.reshape(*shape, pixels.shape[2])


def _shown(pixels: Pixels, channels: int) -> Bytes:
    """8 bits, as many channels as wanted, on a chessboard if there is transparency."""
    out: Bytes = np.empty((*pixels.shape[:2], channels), np.uint8)
    for first in range(0, len(pixels), BLOCK):  # floats take room, so they see a few rows at a time
        part = pixels[first : first + BLOCK]
        values = part.astype(np.float32) / np.float32(planes.white(pixels))
        if planes.has_alpha(pixels):
            board = _board(first, (part.shape[0], part.shape[1]))
            values = board + values[:, :, -1:] * (values[:, :, :-1] - board)
        out[first : first + BLOCK] = planes.quantise(values, out.dtype)
    return out


def _board(first: int, shape: Shape) -> NDArray[np.float32]:
    rows, columns = np.ogrid[first : first + shape[0], : shape[1]]
    return np.array(BOARD, np.float32)[(rows // SQUARE + columns // SQUARE) % 2, None] / np.float32(255)


def _richest(picture: Bytes, part: Shape, cell: int) -> tuple[int, int]:
    """Top left corner of the part with the largest differences between neighbours, on a grid of ``cell`` pixels."""
    plane = picture[:, :, picture.shape[2] // 2]  # green
    below = np.concatenate([plane[1:], plane[-1:]], axis=0)
    beside = np.concatenate([plane[:, 1:], plane[:, -1:]], axis=1)
    detail = cv2.absdiff(plane, below) // 2 + cv2.absdiff(plane, beside) // 2
    cells = (max(1, plane.shape[0] // cell), max(1, plane.shape[1] // cell))
    coarse = cv2.resize(detail.astype(np.float32), cells[::-1], interpolation=cv2.INTER_AREA)
    sums = cv2.integral(coarse, sdepth=cv2.CV_64F)
    height, width = (min(max(1, edge // cell), count) for edge, count in zip(part, cells, strict=True))
    found = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = (int(place) * cell for place in np.unravel_index(int(np.argmax(found)), found.shape))
    return min(top, plane.shape[0] - part[0]), min(left, plane.shape[1] - part[1])


def _frame(picture: Bytes, corner: tuple[int, int], size: Shape) -> None:
    """A line around the part, white with black inside, to be seen on any ground."""
    for inset, level in ((0, FRAME), (1, 0)):
        top, left = corner[0] + inset, corner[1] + inset
        bottom, right = corner[0] + size[0] - 1 - inset, corner[1] + size[1] - 1 - inset
        if bottom > top and right > left:
            cv2.rectangle(picture, (left, top), (right, bottom), (level,) * picture.shape[2])


def _label(text: str, width: int, channels: int) -> Bytes:
    """A line of text in a strip of its own, smaller where it would not fit."""
    strip = Image.new("L", (width, 2 * TEXT), PAPER)
    draw = ImageDraw.Draw(strip)
    font = next(
        (font for size in range(TEXT, 8, -1) if (font := ImageFont.load_default(size)).getlength(text) <= width - GAP),
        ImageFont.load_default(8),
    )
    draw.text((width / 2, TEXT), text, INK, font, anchor="mm")
    return np.repeat(np.asarray(strip)[:, :, None], channels, axis=2)


def _assembled(columns: list[list[Bytes]], width: int, channels: int) -> Bytes:
    """Columns of pictures from top to bottom, each centred in its column."""
    heights = [len(block) for block in columns[0]]
    total = sum(heights) + GAP * len(heights)
    sheet = np.full((total, GAP + len(columns) * (width + GAP), channels), PAPER, np.uint8)
    for number, column in enumerate(columns):
        top, start = 0, GAP + number * (width + GAP)
        for block in column:
            left = start + (width - block.shape[1]) // 2
            sheet[top : top + len(block), left : left + block.shape[1]] = block
            top += len(block) + GAP
    return sheet
