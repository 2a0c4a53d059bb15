"""Colour profiles: conversion of what is neither gray nor RGB, and which profiles matter."""

import io
from contextlib import suppress

import numpy as np
from PIL import Image, ImageCms

SIGNATURE = slice(36, 40)
COLOURS = slice(16, 20)
"""Places of the signature "acsp" and of the kind of colours in a profile (ICC.1:2022, 7.2)."""

STEPS = 9
CLOSE = 2
"""Colours tried per axis, and the difference in 8 bits that nobody sees."""


def is_whole(icc: bytes) -> bool:
    """Whether a profile has a header that fits it; readers reject or crash on anything else."""
    return len(icc) >= 132 and int.from_bytes(icc[:4], "big") == len(icc) and icc[SIGNATURE] == b"acsp"


def is_srgb(icc: bytes) -> bool:
    """Whether a profile gives the colours that a picture without one has."""
    axis = np.linspace(0, 255, STEPS).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(1, -1, 3)
    if icc[COLOURS] == b"GRAY":
        colours = axis[None]
    try:
        shown = np.asarray(_converted(Image.fromarray(colours), io.BytesIO(icc)))
    except ImageCms.PyCMSError:
        return False
    if icc[COLOURS] == b"GRAY":
        colours = colours[:, :, None]
    return bool(np.abs(shown.astype(int) - colours).max() <= CLOSE)


def to_srgb(image: Image.Image, icc: bytes) -> tuple[Image.Image, str]:
    """A CMYK or Lab image as RGB, and a note on how it was converted."""
    if image.mode == "LAB":
        return _converted(
            image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        ), "Lab colours are converted to sRGB"
    with suppress(ImageCms.PyCMSError):  # a profile that is damaged, or of a kind that cannot be converted from
        if icc[COLOURS] == b"CMYK":
            return _converted(image, io.BytesIO(icc)), "CMYK colours are converted to sRGB by the profile in the file"
    return image.convert("RGB"), "CMYK colours are converted to RGB by a plain formula, without a usable profile"


def _converted(image: Image.Image, source: io.BytesIO | ImageCms.ImageCmsProfile) -> Image.Image:
    """As the usual programs for photographs do it: relative colorimetric, black made black."""
    converted = ImageCms.profileToProfile(
        image,
        source,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return converted
