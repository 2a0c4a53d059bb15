"""Triton's interpreter, made bearable for tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from mambair_kernels.triton import scan as triton_scan


def _scan_by_rows(self: Any, inputs: Any) -> list[Any]:
    """The interpreter's associative scan with whole rows in place of single numbers, twenty times faster."""
    data = [np.moveaxis(tensor.handle.data, self.axis, 0) for tensor in inputs]
    outputs = [array.copy() for array in data]

    def row(arrays: list[Any], t: int) -> list[Any]:
        return [self.to_tensor(array[t].copy(), x.dtype) for array, x in zip(arrays, inputs, strict=True)]

    for t in range(1, len(data[0])):
        combined = self.combine_fn.fn(*row(outputs, t - 1), *row(data, t))
        for output, result in zip(outputs, combined, strict=True):
            output[t] = result.handle.data
    back = (np.ascontiguousarray(np.moveaxis(output, 0, self.axis)) for output in outputs)
    return [self.to_tensor(array, x.dtype) for array, x in zip(back, inputs, strict=True)]


@contextmanager
def interpreting(fast: bool = True) -> Iterator[None]:
    """Let the Triton backend run on CPU tensors."""
    interpreter = pytest.importorskip("triton.runtime.interpreter", reason="the package triton is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(triton_scan.INTERPRET, "1")
        if fast:
            patch.setattr(interpreter.ScanOps, "generic_scan", _scan_by_rows)
        yield
