"""What a file names and this host has not: interfaces, users, programs. Blocking.

A start refuses a user that is not there: its programs would have to run as somebody else.
The rest may come later, an interface with its module and a program with its file system, so
who starts without it is warned.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from socket import if_nameindex
from typing import Final

from programs.presence import shortcoming
from programs.users import stranger
from vrrp.schema import (
    AddressConfig,
    FileCheck,
    FileConfig,
    GuidewaydCheck,
    InstanceConfig,
    InterfaceCheck,
    NotifyConfig,
    ProcessCheck,
    ScriptCheck,
)

_RESTS: Final = "the instance rests"
_FAILS: Final = "the check fails"
_UNTOLD: Final = "nobody is told"


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is missing."""

    field: str  # who names it: a path in the file, such as instances[0].interface
    problem: str
    fatal: bool = False  # a start refuses it


def lacks(file: FileConfig) -> Iterator[Lack]:
    """Yield what is missing, in the file's order."""
    here = {name for _, name in if_nameindex()}
    for i, instance in enumerate(file.instances):
        place = f"instances[{i}]"
        for field, name in _interfaces(instance):
            if name not in here:
                yield _no_interface(f"{place}.{field}", name, _RESTS)
        yield from _of_notify(f"{place}.notify", instance.notify)
    for i, check in enumerate(file.checks):
        place = f"checks[{i}]"
        match check:
            case InterfaceCheck(interface=name):
                if name not in here:
                    yield _no_interface(f"{place}.interface", name, _FAILS)
            case ScriptCheck(command=command, user=user):
                yield from _of_program(place, command[0], user, _FAILS)
            case FileCheck() | ProcessCheck() | GuidewaydCheck():
                pass  # what they name comes and goes: that is what they look for
    for i, group in enumerate(file.sync_groups):
        yield from _of_notify(f"sync_groups[{i}].notify", group.notify)


def _interfaces(instance: InstanceConfig) -> Iterator[tuple[str, str]]:
    """Yield where in an instance an interface is named, and which."""
    yield "interface", instance.interface
    for key in ("addresses", "unadvertised"):
        for i, entry in enumerate(getattr(instance, key)):
            if isinstance(entry, AddressConfig) and entry.interface:
                yield f"{key}[{i}].interface", entry.interface


def _no_interface(field: str, name: str, until: str) -> Lack:
    return Lack(
        field, f"there is no interface {name} on this host: {until} until there is one"
    )


def _of_notify(place: str, notify: NotifyConfig | None) -> Iterator[Lack]:
    if notify:
        yield from _of_program(place, notify.command[0], notify.user, _UNTOLD)


def _of_program(place: str, program: str, user: str | None, until: str) -> Iterator[Lack]:
    if user and (problem := stranger(user)):
        yield Lack(f"{place}.user", problem, fatal=True)
    elif problem := shortcoming(program, user):
        yield Lack(f"{place}.command", f"{problem}; {until} until it runs")
