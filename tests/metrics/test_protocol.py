import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mambair_cli.metrics.protocol import Part, partitioned, parts


def test_partitions_worked_out_by_hand() -> None:
    assert parts(199) == [Part(0, 199, 0, 199)]
    # 200 // 200 + 1 = 2 parts of 100, a tenth is 10.
    assert parts(200) == [Part(0, 110, 0, 100), Part(90, 200, 100, 200)]
    # 500 // 200 + 1 = 3 parts, padded to 501 = 3 * 167; a tenth is 16.
    assert parts(500) == [Part(0, 183, 0, 167), Part(151, 350, 167, 334), Part(318, 501, 334, 501)]


@given(st.integers(1, 3000))
def test_parts_follow_each_other_and_cover_the_axis(length: int) -> None:
    found = parts(length)
    assert [part.first for part in found] == [0, *(part.last for part in found[:-1])]
    assert 0 <= found[-1].last - length < len(found)
    assert max(part.last - part.first for part in found) <= 200


@pytest.mark.parametrize("scale", [1, 2])
def test_a_local_network_gives_the_same_in_parts(scale: int) -> None:
    sizes = []

    def network(image: Tensor) -> Tensor:
        sizes.append(tuple(image.shape[2:]))
        blurred = torch.nn.functional.avg_pool2d(image, 3, 1, 1, count_include_pad=False)
        return blurred.repeat_interleave(scale, 2).repeat_interleave(scale, 3)

    image = torch.rand(1, 3, 201, 430)
    result = partitioned(network, scale)(image)
    assert sizes == [(111, 158), (111, 172), (111, 158), (111, 158), (111, 172), (111, 158)]
    whole = network(image)
    assert result.shape == whole.shape
    inside = slice(0, -2 * scale)  # the padded border has neighbours that the image has not
    torch.testing.assert_close(result[:, :, inside, inside], whole[:, :, inside, inside])


def test_parts_are_seen_by_a_network_that_looks_at_everything() -> None:
    def network(image: Tensor) -> Tensor:
        return image.mean(dim=(2, 3), keepdim=True).expand_as(image)

    image = torch.zeros(1, 1, 100, 400)
    image[..., 200:] = 1
    result = partitioned(network, 1)(image)
    # 400 // 200 + 1 = 3 parts of 134, shave 13; the middle part spans 121 to 281.
    assert result[0, 0, 0].unique().tolist() == pytest.approx([0, 81 / 160, 1])
    assert partitioned(network, 1)(torch.ones(1, 1, 100, 199)).unique().tolist() == [1]
