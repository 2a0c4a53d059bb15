"""What spoils a picture in a batch of tensors, on their device: blur, noise, JPEG.

Pictures are (batch, channels, height, width) in units of white. These are the operations of Real-ESRGAN's training, so
that equal draws give equal pictures.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GRAY = (0.2989, 0.587, 0.114)
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))
"""Steps of coefficients at quality 50 (ITU-T T.81, annex K); those that are not listed are 99."""


def blur(image: Tensor, kernel: Tensor) -> Tensor:
    """Every channel filtered with ``kernel`` (edge, edge), of odd edge; beyond its border the image is mirrored."""
    margin, channels = len(kernel) // 2, image.shape[1]
    mode = "reflect" if min(image.shape[2:]) > margin else "replicate"
    around = F.pad(image, (margin,) * 4, mode=mode)
    weight = kernel.to(image).expand(channels, 1, *kernel.shape)
    return F.conv2d(around, weight, groups=channels)


def gaussian_noise(image: Tensor, sigma: float, gray: bool, generator: torch.Generator | None = None) -> Tensor:
    """With noise of standard deviation ``sigma`` in levels of 8 bits, the same in all channels if ``gray``; clipped."""
    shape = (len(image), 1 if gray else image.shape[1], *image.shape[2:])
    grain = torch.randn(shape, generator=generator, device=image.device)
    return (image + grain * (sigma / 255)).clamp(0, 1)


def poisson_noise(image: Tensor, scale: float, gray: bool, generator: torch.Generator | None = None) -> Tensor:
    """With the noise of counted photons times ``scale``, that of the luminance if ``gray``; clipped.

    One picture at a time; white is as many photons as the picture has levels, up to the next power of two.
    """
    source = image
    if gray and image.shape[1] == 3:
        source = (image * image.new_tensor(GRAY).view(3, 1, 1)).sum(1, keepdim=True)
    source = (source * 255).round().clamp(0, 255) / 255
    white = 2 ** math.ceil(math.log2(len(source.unique())))
    grain: Tensor = torch.poisson(source * white, generator) / white - source
    return (image + grain * scale).clamp(0, 1)


def jpeg(image: Tensor, quality: float) -> Tensor:
    """Through JPEG with halved colours: quality 1 to 100, as libjpeg counts it, but not a whole number.

    The blocks start at the corner; what they lack at the far borders is black.
    """
    height, width = image.shape[2:]
    factor = (5000 / quality if quality < 50 else 200 - 2 * quality) / 100
    rgb = image.expand(-1, 3, -1, -1).clamp(0, 1) * 255
    rgb = F.pad(rgb, (0, -width % 16, 0, -height % 16))
    planes = _mixed(rgb, TO_YCC)
    chroma = planes.new_full((8, 8), 99)
    chroma[:4, :4] = planes.new_tensor(CHROMA)
    luma = _coded(planes[:, :1] - 128, planes.new_tensor(LUMA).T * factor) + 128
    colours = F.avg_pool2d(planes[:, 1:], 2)
    colours = _coded(colours, chroma * factor).repeat_interleave(2, 2).repeat_interleave(2, 3)
    back = _mixed(torch.cat([luma, colours], 1), TO_RGB).clamp(0, 255) / 255
    return back[:, : image.shape[1], :height, :width]


def _mixed(image: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", image.new_tensor(matrix), image)


def _coded(planes: Tensor, steps: Tensor) -> Tensor:
    """Cosine transform of blocks of 8 x 8, rounded to ``steps``, and back."""
    place = torch.arange(8, device=planes.device, dtype=planes.dtype)
    wave = torch.cos((2 * place + 1) * place[:, None] * math.pi / 16) / 2
    wave[0] /= math.sqrt(2)
    batch, channels, height, width = planes.shape
    blocks = planes.view(batch, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    coefficients = ((wave @ blocks @ wave.T) / steps).round() * steps
    back = wave.T @ coefficients @ wave
    return back.transpose(3, 4).reshape(batch, channels, height, width)
