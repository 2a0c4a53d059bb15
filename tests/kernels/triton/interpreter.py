"""Triton's interpreter, made bearable for tests."""

import importlib
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


def _dot_of_bfloat16(dot: Any) -> Any:
    """The interpreter holds bfloat16 as its bits, which its matrix product takes for integers."""

    def create_dot(self: Any, a: Any, b: Any, *others: Any) -> Any:
        if a.dtype.is_bf16():
            single = importlib.import_module("triton.language").float32
            a, b = (type(each)((each.data.astype(np.uint32) << 16).view(np.float32), single) for each in (a, b))
        return dot(self, a, b, *others)

    return create_dot


@contextmanager
def interpreting(fast: bool = True) -> Iterator[None]:
    """Let the Triton backend run on CPU tensors."""
    interpreter = pytest.importorskip("triton.runtime.interpreter", reason="the package triton is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(triton_scan.INTERPRET, "1")
        if fast:
            patch.setattr(interpreter.ScanOps, "generic_scan", _scan_by_rows)
        dot = interpreter.InterpreterBuilder.create_dot
        patch.setattr(interpreter.InterpreterBuilder, "create_dot", _dot_of_bfloat16(dot))
        yield
