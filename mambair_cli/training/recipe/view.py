"""Reading options of which nothing is known for sure."""

from collections.abc import Collection
from typing import Any

from ...declaration import whole
from .mistakes import Path


class View:
    """Read access to options of which nothing is known for sure."""

    def __init__(self, data: Any, told: Collection[Path] = ()) -> None:
        self.data, self.told = data, told

    def sound(self, *path: str) -> bool:
        """Whether nothing at or below a path has been found wrong."""
        return not any(known[: len(path)] == path for known in self.told)

    def get(self, *path: str) -> Any:
        """The value at a path, or None."""
        value = self.data
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def number(self, *path: str) -> int | None:
        """The whole number at a path, or None."""
        value = whole(self.get(*path))
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def numbers(self, *path: str) -> list[float]:
        """The list of numbers at a path; empty if it is none."""
        value = self.get(*path)
        fine = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        return list(value) if fine else []

    @property
    def scale(self) -> int | None:
        """The scale, 1 by default; None if it is no positive number."""
        return self.number("scale") or None if "scale" in self.data else 1

    def mapping(self, *path: str) -> dict[str, Any]:
        """The mapping at a path; empty if it is none."""
        value = self.get(*path)
        return value if isinstance(value, dict) else {}
