"""The effective receptive field of networks whose field is known."""

import pytest
import torch
from torch import Tensor, nn

from mambair_archs import MambaIR
from mambair_archs.receptive_field import contributions, squares


class Blur(nn.Module):
    """The mean of ``edge`` x ``edge`` pixels, enlarged."""

    def __init__(self, edge: int, scale: int = 1) -> None:
        super().__init__()
        self.edge, self.scale = edge, scale

    def forward(self, x: Tensor) -> Tensor:
        mean = nn.functional.avg_pool2d(x, self.edge, 1, self.edge // 2)
        return mean.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)


@pytest.mark.parametrize(("edge", "scale"), [(1, 1), (5, 1), (5, 3), (7, 2)])
def test_of_a_mean_is_the_square_it_is_taken_of(edge: int, scale: int) -> None:
    found = contributions(Blur(edge, scale), [torch.rand(1, 3, 20, 20) for _ in range(2)])
    radius = edge // 2
    expected = torch.zeros(20, 20, dtype=torch.float64)
    expected[10 - radius : 11 + radius, 10 - radius : 11 + radius] = 3 / edge**2
    torch.testing.assert_close(found, expected)
    assert [square.side for square in squares(found, (0.01, 0.99))] == [1, edge]
    assert squares(found, (0.99,))[0].area == edge**2 / 400


def test_squares_of_contributions_that_are_everywhere_equal() -> None:
    found = squares(torch.ones(21, 21), (0.2, 0.5, 1.0))
    assert [square.side for square in found] == [11, 15, 21]  # the least odd sides of 0.2 * 441 and 0.5 * 441 pixels
    assert found[2].area == 1


def test_only_what_raises_the_centre_counts() -> None:
    class Difference(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1 + x - 0.5 * x.roll(1, -1)

    found = contributions(Difference(), [torch.rand(1, 1, 9, 9)])
    assert found[4, 4] == 1
    assert found.sum() == 1


def test_a_scan_sees_the_whole_picture_and_a_convolution_does_not() -> None:
    torch.manual_seed(0)
    network = MambaIR(embed_dim=12, depths=(1,), d_state=2, squeeze_factor=4, mlp_ratio=1.0).eval()
    seen = contributions(network, [torch.rand(1, 3, 32, 32)])
    assert (seen > 0).double().mean() > 0.2
    assert contributions(nn.Conv2d(3, 3, 3, padding=1), [torch.rand(1, 3, 32, 32)]).count_nonzero() <= 9


def test_what_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="no pictures"):
        contributions(Blur(1), [])
    with pytest.raises(ValueError, match="does not depend"):
        contributions(Blur(1), [-torch.ones(1, 3, 8, 8)])
