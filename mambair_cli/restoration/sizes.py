"""How large a result becomes, and which network takes the picture there."""

from collections.abc import Sequence

from ..errors import UsageError

Shape = tuple[int, int]
"""Height and width in pixels."""


def pick_scale(wanted: float, offered: Sequence[int]) -> int:
    """The scale of the network to use: the smallest that reaches ``wanted``, else the largest there is.

    Raises:
        UsageError: ``wanted`` is below 1, or not a number.
        ValueError: nothing is offered.
    """
    check_scale(wanted)
    reaching = [scale for scale in offered if scale >= wanted]
    return min(reaching) if reaching else max(offered)


def check_scale(scale: float) -> None:
    """Refuse to make pictures smaller.

    Raises:
        UsageError: the scale is below 1, infinite or not a number.
    """
    if not 1 <= scale < float("inf"):
        raise UsageError(f"A scale of {scale:g} does not enlarge.", "Give a scale of at least 1.")


def wanted_scale(shape: Shape, width: int | None, height: int | None) -> float | None:
    """Enlargement that reaches ``width`` and ``height``, of which one or both may be left open."""
    edges = [(wanted, own) for wanted, own in ((height, shape[0]), (width, shape[1])) if wanted is not None]
    return max((wanted / own for wanted, own in edges), default=None)


def target(
    shape: Shape, own: int, scale: float | None = None, width: int | None = None, height: int | None = None
) -> Shape:
    """Height and width of the result of a network with scale ``own``; one edge alone decides about the other.

    Raises:
        UsageError: the result would be smaller than the picture, the wishes contradict each other, or the network does
            not enlarge at all.
    """
    if scale is not None and (width is not None or height is not None):
        raise UsageError("A scale and a width or height contradict each other.", "Give the scale or the size.")
    factor = scale if scale is not None else wanted_scale(shape, width, height)
    if factor is None:
        return shape[0] * own, shape[1] * own
    if scale is not None:
        check_scale(scale)
    found = (_edge(shape[0], factor, height), _edge(shape[1], factor, width))
    if found[0] < shape[0] or found[1] < shape[1]:
        raise UsageError(
            f"{found[1]} x {found[0]} pixels are less than the picture has, {shape[1]} x {shape[0]}.",
            "Give a larger width or height.",
        )
    if own == 1 and found != shape:
        raise UsageError("This model keeps the size of the picture.", "Leave out the scale, width and height.")
    return found


def _edge(length: int, factor: float, wanted: int | None) -> int:
    return wanted if wanted is not None else max(1, round(length * factor))


def notes(shape: Shape, own: int, size: Shape, width: int | None = None, height: int | None = None) -> list[str]:
    """What a user should know about a result of this size; ``width`` and ``height`` are what was asked for."""
    found = []
    if size[0] > shape[0] * own or size[1] > shape[1] * own:
        found.append(f"the model enlarges {own} times, from there to {size[1]} x {size[0]} pixels it is interpolation")
    if (
        width is not None
        and height is not None
        and size not in (target(shape, own, None, width, None), target(shape, own, None, None, height))
    ):
        found.append(
            f"{width} x {height} pixels change the proportions, those of the input are {shape[1]} : {shape[0]}"
        )
    return found
