"""Where in a request a value stands that is refused: field paths of google.rpc.BadRequest.

What is wrong is mostly found in the model, which names the place in what was to be made: a
service, or a state. Here that becomes the place in the request that it was made of.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from google.protobuf.message import Message

from control.errors import ConfigError

_BACKEND: Final = re.compile(r"^backends\[\d+\](?:\.|$)")
_SERVICE: Final = re.compile(r"^services\[\d+\](?:\.|$)")
_TOP: Final = re.compile(r"[.\[]")
_NUMBER: Final = re.compile(r"^checks\[(\d+)\]")
_Value = TypeVar("_Value")
_SHIFTING: Final = frozenset({"none", "known"})


def wrong(field: str, problem: str) -> ConfigError:
    """Return the error that ``field`` of a request is wrong."""
    return ConfigError(field, problem, field)


def meant(number: int, known: Mapping[Any, _Value], field: str) -> _Value | None:
    """Return what an enum's number means, None if that is the unspecified one, 0.

    Raise ConfigError if the number is not ``known``, and says that of ``field``.
    """
    if not number:
        return None
    if number not in known:
        raise wrong(field, f"{number} is unknown: {_words(known)}")
    return known[number]


def surely_meant(number: int, known: Mapping[Any, _Value], field: str) -> _Value:
    """Return what an enum's number means; raise ConfigError also if that is nothing."""
    value = meant(number, known, field)
    if value is None:
        raise wrong(field, f"is required: {_words(known)}")
    return value


def _words(known: Mapping[Any, object]) -> str:
    """Return what one may choose from, as files and commands spell it."""
    *others, last = map(str, known.values())
    return f"{', '.join(others)} or {last}"


@contextmanager
def named_as_in(request: Message) -> Iterator[None]:
    """Let a ConfigError of the body name the field as ``request`` has it."""
    try:
        yield
    except ConfigError as error:
        if error.where != error.field:  # else it does already
            error.field = field_in(request, error.field)
        raise


def field_in(request: Message, field: str) -> str:
    """Return the path within ``request`` of what has the path ``field`` in the model.

    It is "" where the request has no such field, and is about the whole of it then.
    """
    field = _SERVICE.sub("", field)
    if (found := _BACKEND.match(field)) and "backend" in _names(request):
        return _of_backend(request, field[found.end() :])
    if isinstance(service := getattr(request, "service", None), Message):
        inside = _of_settings(service, field)
        if inside:
            return f"service.{inside}"
    return _of_settings(request, field)


def _of_backend(request: Message, inside: str) -> str:
    """Return where ``inside`` of a backend is in a request about one backend."""
    if _TOP.split(inside)[0] == "checks":  # `none` among them shifts their numbers
        inside = "checks"
    if inside in _names(request):  # beside the backend's name
        return inside
    is_message = isinstance(getattr(request, "backend", None), Message)
    return f"backend.{inside}" if inside and is_message else "backend"


def _of_settings(settings: Message, field: str) -> str:
    top = _TOP.split(field)[0]
    if top == "name" and "new_name" in _names(settings):
        return "new_name"  # the name that it has is not to be found fault with
    if top not in _names(settings):
        return ""
    return _of_check(settings, field) if top == "checks" else field


def _of_check(settings: Any, field: str) -> str:
    """Return which of ``check`` and ``checks`` is meant, if all checks are in these.

    Kinds that stand for no check, or for those that were there, shift the numbers.
    """
    number = _NUMBER.match(field)
    given = [settings.check] if settings.HasField("check") else []
    given.extend(settings.checks)
    if number is None or any(one.WhichOneof("kind") in _SHIFTING for one in given):
        return "checks"
    place = int(number[1]) - settings.HasField("check")
    return f"checks[{place}]{field[number.end() :]}" if place >= 0 else "check"


def _names(message: Message) -> set[str]:
    return {field.name for field in message.DESCRIPTOR.fields}
