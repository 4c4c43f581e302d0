"""Answers as plain values: the JSON that ``-o json`` prints.

Programs rely on it: keys are added, and neither renamed nor removed. Times are seconds.
"""

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

Number = TypeVar("Number", bound=int)


def spelled(enum: "_EnumTypeWrapper[Number]", number: Number) -> str:
    """Return the value of an enum as commands and files spell it: MODE_DR is ``dr``."""
    if number not in enum.values():
        return str(number)  # of a later release
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    return enum.Name(number).removeprefix(prefix).lower()
