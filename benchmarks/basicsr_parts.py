"""Single files of an installed BasicSR, loaded without importing the package, which does not import unaided."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any


def published_imresize() -> Callable[..., Any]:
    """BasicSR's ``imresize(image, scale)`` for floats.

    Raises:
        ImportError: BasicSR is not installed.
    """
    package = importlib.util.find_spec("basicsr")
    if package is None or package.origin is None:
        raise ImportError("pip install --no-build-isolation --no-deps basicsr==1.4.2")
    path = Path(package.origin).parent / "utils" / "matlab_functions.py"
    spec = importlib.util.spec_from_file_location("published_matlab_functions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[..., Any] = module.imresize
    return function
