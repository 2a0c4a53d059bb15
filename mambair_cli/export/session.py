"""Files of ONNX, run by onnxruntime."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ModelError
from .extra import load

CPU = "CPUExecutionProvider"


def session(content: bytes, providers: list[str] | None = None) -> Any:
    """A session of onnxruntime, ready to run a file; by default on the processor.

    Raises:
        MambairError: onnxruntime is not installed.
        ModelError: it cannot run the file.
    """
    runtime = load("onnx", "onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return runtime.InferenceSession(content, options, providers=providers or [CPU])
    except Exception as error:  # onnxruntime's own classes derive from no common one
        raise _failed(error) from None


def run(ready: Any, **inputs: Tensor) -> list[NDArray[np.float32]]:
    """Outputs of a file for tensors by the names of its inputs.

    Raises:
        ModelError: the network fails with them.
    """
    try:
        outputs: list[NDArray[np.float32]] = ready.run(None, {name: each.numpy() for name, each in inputs.items()})
    except Exception as error:  # as above
        raise _failed(error) from None
    return outputs


def _failed(error: Exception) -> ModelError:
    text = " ".join(str(error).split())
    return ModelError(f"onnxruntime cannot run the network: {text}.", "Export it again, or update onnxruntime.")
