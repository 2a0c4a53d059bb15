"""Bands of rows against whole pictures."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mambair_archs import MambaIRNano
from mambair_archs.blocks import bands


def trained(**options: object) -> MambaIRNano:
    torch.manual_seed(4)
    network = MambaIRNano(embed_dim=8, depth=3, scan_dim=8, d_state=2, **options).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.2)
    return network


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (17, 23), (40, 12)])
@pytest.mark.parametrize(
    "options",
    [
        {"upscale": 4, "scan_after": (2,)},
        {"upscale": 2, "scan_after": (1, 3), "scan_stride": 2},
        {"upscale": 1, "scan_after": (), "in_chans": 1},
        {"upscale": 1, "scan_after": (1,), "unshuffle": 2},
    ],
)
def test_bands_give_what_layers_give(
    size: tuple[int, int], options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trained(**options)
    image = torch.rand(2, network.config.in_chans, *size)
    expected = network(image).detach()  # gradients are recorded, so layer by layer
    found = []
    for size_of_a_band in (1, 5000, 1 << 30):
        monkeypatch.setattr(bands, "BYTES", size_of_a_band)
        with torch.inference_mode():
            found.append(network(image))
        assert found[-1].shape == expected.shape
        torch.testing.assert_close(found[-1], expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("height", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_a_convolution_of_bands_is_that_of_the_image(height: int, rows: int) -> None:
    image, weight = torch.rand(1, height, 5, 2), torch.rand(3, 2, 3, 3)

    def layer(parts: list[Tensor], above: bool, below: bool) -> Tensor:
        rows = F.pad(torch.cat(parts, 1), (0, 0, 0, 0, above, below))
        return F.conv2d(rows.permute(0, 3, 1, 2), weight, padding=(0, 1)).permute(0, 2, 3, 1)

    given = list(bands.convolved(bands.split(image, rows), layer))
    assert [last for _, last in given] == [False] * (len(given) - 1) + [True]
    expected = F.conv2d(image.permute(0, 3, 1, 2), weight, padding=1).permute(0, 2, 3, 1)
    torch.testing.assert_close(bands.whole(given, height), expected)


def test_rows_are_taken_in_their_order() -> None:
    image = torch.arange(20.0).view(1, 10, 2, 1)
    noted = bands.Rows()
    for _ in noted.noting(bands.split(image, 4)):
        pass
    for rows in (noted, bands.Rows(bands.split(image, 3))):
        assert torch.equal(torch.cat([part for count in (1, 6, 3) for part in rows.take(count)], 1), image)
