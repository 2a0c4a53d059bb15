"""Every backend on CPU tensors: Triton in its interpreter, mamba-ssm on a stand-in for its extension."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from mambair_kernels import dispatch, mamba_ssm
from mambair_kernels.cpu import native
from tests.kernels.stand_in import extension
from tests.kernels.triton.interpreter import interpreting

ALL = ("reference", "cpu", "chunked", "mamba_ssm", "triton")


@contextmanager
def use(name: str) -> Iterator[None]:
    """Run scans on one backend; skips where it cannot be had."""
    if name == "cpu" and not native.built():
        pytest.skip("this installation has no native library")
    here = [
        dispatch.Backend("mamba_ssm", mamba_ssm, frozenset({"cpu"}), each.dtypes) if each.name == "mamba_ssm" else each
        for each in dispatch.BACKENDS
    ]
    with pytest.MonkeyPatch.context() as patch, interpreting() if name == "triton" else nullcontext():
        patch.setenv(dispatch.VARIABLE, name)
        if name == "mamba_ssm":
            patch.setitem(sys.modules, mamba_ssm.EXTENSION, extension())
            patch.setattr(dispatch, "BACKENDS", tuple(here))
            mamba_ssm._available.cache_clear()
        yield
    mamba_ssm._available.cache_clear()
