"""Marks functions whose result torch.compile may take for constant."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def constant(function: Function) -> Function:
    """As ``torch.compiler.assume_constant_result``, which imports all of the compiler: longer than torch itself."""
    function.__dict__["_dynamo_marked_constant"] = True
    return function
