"""Health checks on the command line: ``http,path=/health,status=200-299``."""

import re
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import click
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from control.api.v1 import guideway_pb2 as pb
from control.checks import CHECKS
from control.cli.ranges import Whole
from control.cli.slips import did_you_mean

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper

KINDS: Final = tuple(CHECKS)
_COMMA: Final = re.compile(r"(?<!\\),")  # none that a backslash is before
_NUMBERS: Final[dict[int, click.ParamType[Any]]] = {
    FieldDescriptor.TYPE_DOUBLE: click.FLOAT,
    FieldDescriptor.TYPE_UINT32: Whole(0, 2**32 - 1),
    FieldDescriptor.TYPE_BOOL: click.BOOL,
}
_ENUMS: Final[dict[str, "_EnumTypeWrapper[Any]"]] = {
    "initial": pb.Initial,
    "via": pb.Via,
}


class CheckParameter(click.ParamType[pb.HealthCheck]):
    """``KIND[,KEY=VALUE]…``, with keys as in the configuration file.

    A header is ``header.NAME=VALUE``; a command is split into arguments as a shell does. A
    comma in a value has a backslash before it.
    """

    name = "KIND[,KEY=VALUE]…"

    def convert(
        self,
        value: str | pb.HealthCheck,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> pb.HealthCheck:
        """Return the check, or say what is wrong with ``value``."""
        if isinstance(value, pb.HealthCheck):
            return value
        kind, *settings = (part.replace(r"\,", ",") for part in _COMMA.split(value))
        if kind not in CHECKS:
            guess = did_you_mean(kind, KINDS) or f"; kinds are {', '.join(KINDS)}"
            self.fail(f"{kind!r} is no kind of check{guess}", param, ctx)
        check = pb.HealthCheck()
        message: Message = getattr(check, kind)
        message.SetInParent()
        try:
            _set_all(message, settings)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return check


class CheckDefaultsParameter(click.ParamType[pb.CheckDefaults]):
    """``KEY=VALUE[,KEY=VALUE]…``, with keys as in the configuration file."""

    name = "KEY=VALUE[,KEY=VALUE]…"

    def convert(
        self,
        value: str | pb.CheckDefaults,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> pb.CheckDefaults:
        """Return the defaults, or say what is wrong with ``value``."""
        if isinstance(value, pb.CheckDefaults):
            return value
        defaults = pb.CheckDefaults()
        try:
            _set_all(defaults, value.split(","))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return defaults


def with_common(check: pb.HealthCheck, common: pb.KnownChecks) -> pb.HealthCheck:
    """Return ``check`` with what is set in ``common``, unless it says otherwise itself."""
    kind = check.WhichOneof("kind")
    assert kind is not None  # noqa: S101 - CheckParameter has set it
    merged = pb.HealthCheck()
    message: Message = getattr(merged, kind)
    message.SetInParent()
    for field, value in common.ListFields():
        setattr(message, field.name, value)
    merged.MergeFrom(check)
    return merged


def _set_all(message: Message, settings: Iterable[str]) -> None:
    """Set what each of ``settings``, KEY=VALUE, says; raise ValueError."""
    said: set[str] = set()
    for setting in settings:
        key, separator, given = setting.partition("=")
        if not separator:
            raise ValueError(f"{setting!r} is not KEY=VALUE")
        if key in said:
            raise ValueError(f"{key}: is there twice")
        said.add(key)
        try:
            _set(message, key, given)
        except (ValueError, click.BadParameter) as error:
            raise ValueError(f"{key}: {error}") from error


def _set(message: Message, key: str, given: str) -> None:
    name, _, header = key.partition(".")
    if name == "header" and header and isinstance(message, (pb.HttpCheck, pb.HttpsCheck)):
        message.headers[header] = given
        return
    field = message.DESCRIPTOR.fields_by_name.get(key)
    if field is None or key == "headers":
        raise ValueError(f"no such key here{_remedy(message, key)}")
    if key == "command":
        getattr(message, key).extend(shlex.split(given))
    elif key in _ENUMS:
        setattr(message, key, _spelled(_ENUMS[key], given))
    elif field.type in _NUMBERS:
        setattr(message, key, _NUMBERS[field.type].convert(given, None, None))
    else:
        setattr(message, key, given)


def _remedy(message: Message, key: str) -> str:
    """Say what would be right, as the configuration file's mistakes do."""
    owners = [kind for kind in KINDS if key in _keys(getattr(pb.HealthCheck(), kind))]
    if owners and not isinstance(message, pb.CheckDefaults):
        return f": it goes with {', '.join(owners)}"
    keys = _keys(message)
    return did_you_mean(key, keys) or f"; keys are {', '.join(keys)}"


def _keys(message: Message) -> list[str]:
    return [
        "header.NAME" if field.name == "headers" else field.name
        for field in message.DESCRIPTOR.fields
    ]


def _spelled(enum: "_EnumTypeWrapper[Any]", given: str) -> int:
    """Return the number of what is called ``given`` in files."""
    prefix = enum.keys()[0].removesuffix("UNSPECIFIED")
    spelled = [name.removeprefix(prefix).lower() for name in enum.keys()[1:]]
    if given not in spelled:
        raise ValueError(f"{given!r} is none of {', '.join(spelled)}")
    return int(enum.Value(f"{prefix}{given.upper()}"))
