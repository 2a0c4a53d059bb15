"""Writing nodes of an ONNX graph."""

import itertools
from collections.abc import Sequence
from typing import Any

from onnx_ir.tape import Tape

NUMBERS = itertools.count()
"""Names inside a loop must differ from those around it, which onnx_ir does not see to."""


class Nodes:
    """Operators by their names, written down in order: ``nodes.Add(a, b)``. Keywords are attributes.

    ``outputs`` says how many results an operator has; one comes by itself, several as a sequence.
    """

    def __init__(self) -> None:
        self.tape = Tape()

    def __getattr__(self, kind: str) -> Any:
        def add(*inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
            made = self.tape.op_multi_out(kind, inputs, attributes or None, num_outputs=outputs)
            for value in made:
                value.name = f"{kind}.{next(NUMBERS)}"
            return made[0] if outputs == 1 else made

        return add

    def integers(self, *values: int) -> Any:
        """A vector."""
        return self.Constant(value_ints=list(values))

    def integer(self, value: int) -> Any:
        """A scalar."""
        return self.Constant(value_int=value)

    def wide(self, value: Any, *axes: int) -> Any:
        """``value`` with axes of one element at ``axes``."""
        return self.Unsqueeze(value, self.integers(*axes))

    def split(self, value: Any, sizes: Sequence[int], axis: int) -> Any:
        """Consecutive parts of ``value``, at least two."""
        return self.Split(value, self.integers(*sizes), axis=axis, outputs=len(sizes))

    def size(self, value: Any, axis: int) -> Any:
        """Length of an axis, a scalar."""
        return self.Squeeze(self.Shape(value, start=axis, end=axis + 1))

    def shape(self, *sizes: Any) -> Any:
        """A vector of scalars and numbers."""
        parts = [self.integers(size) if isinstance(size, int) else self.wide(size, 0) for size in sizes]
        return self.Concat(*parts, axis=0)

    def count(self, stop: Any) -> Any:
        """0, 1, ... before ``stop``, int64."""
        return self.Range(self.integer(0), stop, self.integer(1))
