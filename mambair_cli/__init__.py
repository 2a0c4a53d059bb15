"""Image restoration and super-resolution with MambaIR-style networks.

>>> from mambair_cli import load_model, restore
>>> model = load_model("mambairv2_lightSR_x4.pth")
>>> large = restore(small, model)  # numpy arrays, uint8, uint16 or float32

Importing this package loads neither torch nor OpenCV; calling it does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from .weights.loader import Model

__version__ = "0.1.0"
__all__ = ["Model", "__version__", "load_model", "restore"]


def __getattr__(name: str) -> Any:
    """:class:`mambair_cli.weights.loader.Model`, when somebody asks for it: torch is slow to import."""
    if name == "Model":
        from .weights.loader import Model

        return Model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_model(model: "str | Path", device: str = "auto") -> "Model":
    """Load a model by catalogue name or from a .safetensors, .pth or .onnx file, or a folder of the Hugging Face hub.

    Args:
        model: name as in ``mambair models list``, or a path.
        device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda``, ``cuda:1``, ...

    Raises:
        mambair_cli.errors.ModelError: it cannot be found, read or recognised.
        mambair_cli.errors.DeviceError: the device is not there.
    """
    from .weights.loader import load

    return load(model, device)


def restore(
    image: "NDArray[Any]",
    model: "Model",
    *,
    tile: int | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    precision: str = "fp32",
    scale: float | None = None,
    width: int | None = None,
    height: int | None = None,
    strength: float = 1.0,
    sigma: float | None = None,
    wrap: str = "none",
) -> "NDArray[Any]":
    """Restore one image held in memory.

    Args:
        image: (height, width) gray, or (height, width, channels) with gray, gray + alpha, RGB or RGB + alpha;
            uint8, uint16, or floats in [0, 1].
        model: from :func:`load_model`.
        tile: tile edge in input pixels, 0 for the whole image; default: the network's recommendation.
        overlap: pixels that neighbouring tiles share; default: 16, or a quarter of a small tile.
        ensemble: average over the 8 symmetries of the square: a little better, and 8 times the work.
        precision: ``fp32``, ``bf16`` or ``fp16``; where half precision fails, fp32 takes over.
        scale: enlargement of the result, such as 2.5; what the model does not do is resampled. Default: the model's.
        width: of the result in pixels; alone it keeps the proportions.
        height: of the result in pixels; alone it keeps the proportions.
        strength: share of the result in a blend with the input, which is interpolated if the model enlarges; 0 to 1.
            Above 1, to 2, a dehazer takes away more, and light haze too.
        sigma: how strong the noise is, as a standard deviation of 255, for a blind denoiser that leaves grain; takes
            twice the time. Default: what the model sees.
        wrap: ``x``, ``y`` or ``xy`` if the picture goes on at the opposite edge along these axes, as a texture does.

    Returns:
        The restored image in the type (native byte order) and layout of ``image``, enlarged by ``scale``.

    Raises:
        mambair_cli.errors.UsageError: shape, type or choices make no sense.
        mambair_cli.errors.ModelError: the model works neither on luminance nor on RGB.
        mambair_cli.errors.OutOfMemoryError: even the smallest tile does not fit.
        mambair_cli.errors.NumericalError: the network produced values that are not numbers.
    """
    import numpy as np

    from .errors import UsageError
    from .images.planes import check_channels
    from .restoration.choices import Choices
    from .restoration.prepared import restore as run

    if not isinstance(image, np.ndarray):
        raise UsageError(f"An image of type {type(image).__name__} cannot be restored.", "Give a numpy array.")
    pixels = image[:, :, None] if image.ndim == 2 else image
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or 0 in pixels.shape:
        raise UsageError(f"An image of shape {image.shape} cannot be restored.", "Give (height, width, 1 to 4).")
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise UsageError(f"Pixels of type {pixels.dtype} cannot be restored.", "Give uint8, uint16 or float32.")
    for name, value in (("tile", tile), ("overlap", overlap), ("width", width), ("height", height)):
        if not isinstance(value, int | np.integer | None):
            raise UsageError(f"{name} = {value!r} is not a whole number.", "Give pixels as an int, or None.")
    for name, number in (("scale", scale), ("strength", strength), ("sigma", sigma)):
        if not isinstance(number, int | float | np.number) and (number is not None or name == "strength"):
            raise UsageError(f"{name} = {number!r} is not a number.", "Give a float.")
    check_channels(model.descriptor.in_channels, model.name)
    choices = Choices(
        tile=tile,
        overlap=overlap,
        ensemble=ensemble,
        precision=precision,
        scale=scale,
        width=width,
        height=height,
        strength=strength,
        sigma=sigma,
        wrap=wrap,
    )
    result = run(pixels, model, choices)
    return result[:, :, 0] if image.ndim == 2 else result
