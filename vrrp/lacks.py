"""What a file names and this host has not: interfaces, users, programs. Blocking.

``--check`` refuses users and programs that are not there, a start users alone, since their
programs would have to run as somebody else. All else may come later, an interface with its
module and a program with its file system: who starts without it is warned.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from socket import if_nameindex
from typing import Final

from structlog import get_logger
from structlog.typing import FilteringBoundLogger

from programs.executable import defect
from programs.users import stranger
from vrrp.config import mistake, shape
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

_log: Final[FilteringBoundLogger] = get_logger()
_RESTS: Final = "the instance rests"
_FAILS: Final = "the check fails"


@dataclass(frozen=True, slots=True)
class Lack:
    """Something that is missing."""

    field: str  # who names it: a path in the file, such as instances[0].interface
    problem: str
    fatal: bool = True  # ``--check`` refuses it

    def within(self, text: str, name: str) -> str:
        """Return the sentence, with its place in the file ``name`` that has this text."""
        return str(mistake(text, name, self.field, self.problem))


def warn(text: str, name: str) -> None:
    """Say in the log what is missing for a file that is right otherwise."""
    for each in lacks(shape(text, name)):
        _log.warning("not on this host", problem=each.within(text, name))


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
                yield from _of_program(place, command[0], user)
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
    sentence = f"there is no interface {name} on this host: {until} until there is one"
    return Lack(field, sentence, fatal=False)


def _of_notify(place: str, notify: NotifyConfig | None) -> Iterator[Lack]:
    if notify:
        yield from _of_program(place, notify.command[0], notify.user)


def _of_program(place: str, program: str, user: str | None) -> Iterator[Lack]:
    if user and (problem := stranger(user)):
        yield Lack(f"{place}.user", problem)
    elif problem := defect(program, user):
        yield Lack(f"{place}.command", problem)
