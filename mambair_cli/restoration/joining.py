"""join: choices for which the functions of this version have no argument yet are refused, all others passed on.

To be removed, with its calls, when ``decode``, ``encode`` and ``restore`` take all of them.
"""

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import UsageError
from .choices import Choices


def supported(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """The arguments that ``function`` takes.

    Raises:
        UsageError: another one has a value that is not the default.
    """
    parameters = inspect.signature(function).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return arguments
    missing = [name for name, value in arguments.items() if name not in parameters]
    for name in missing:
        if arguments[name] != getattr(Choices(), name):
            raise UsageError(f"--{name.replace('_', '-')} is not available in this version.", "Leave it out.")
    return {name: value for name, value in arguments.items() if name not in missing}
