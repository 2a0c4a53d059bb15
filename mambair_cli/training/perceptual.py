"""Networks trained on ImageNet, between whose features losses measure: how to get them, and their weights."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

import torch

from ..errors import MambairError, ModelError

INSTALL = (
    'Run pip install "mambair[perceptual]", or to leave torch as it is pip install --no-deps lpips and the torchvision'
    " that belongs to it."
)
NEEDED = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
"""Networks of LPIPS, by torchvision's names."""


@contextmanager
def weights(network: str) -> Iterator[None]:
    """While torchvision loads ``network``, whose weights it downloads where they are not in place.

    Raises:
        MambairError: torchvision or a package that needs it is not installed.
        ModelError: the weights cannot be downloaded, or are damaged; it is said which file belongs where.
    """
    try:
        yield
    except (ImportError, AttributeError) as error:
        if isinstance(error, AttributeError) and "torchvision" not in str(error):
            raise
        raise MambairError(f"A loss between features of {network} is not possible: {error}.", INSTALL) from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(f"The weights of {network} cannot be downloaded: {reason}.", place(network)) from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if isinstance(error, RuntimeError) and "invalid hash" not in str(error) and "zip" not in str(error):
            raise
        raise ModelError(f"The weights of {network} are damaged.", f"Delete them. {place(network)}") from error


def place(network: str) -> str:
    """Where the weights of ``network`` come from and where they belong."""
    url = address(network)
    return f"Get {url} elsewhere and save it as {Path(torch.hub.get_dir(), 'checkpoints', Path(url).name)}."


def address(network: str) -> str:
    """Where torchvision has the weights of ``network``."""
    import torchvision

    return str(torchvision.models.get_model_weights(network).IMAGENET1K_V1.url)
