"""Options that several commands share, given to a command in one go."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, TypeVar

Command = TypeVar("Command", bound=Callable[..., None])


def decorated(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    """Return ``command`` with ``options``, which its help shows in their order."""
    return reduce(lambda made, option: option(made), reversed(options), command)
