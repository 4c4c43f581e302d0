"""Whether this host can run the programs that the operator names.

It may get them yet, so a start warns of what is missing; ``guidewayd --check`` refuses.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

import structlog

from control.checks import ExecCheck
from control.desired import DesiredState
from control.errors import ConfigError
from control.notifying.settings import Notifications
from programs.executable import defect
from programs.users import stranger

_log: Final = structlog.get_logger()


def refuse_unrunnable(notifications: Notifications, desired: DesiredState) -> None:
    """Raise ConfigError if a program of ``notify`` or a check cannot be run. Blocking."""
    for problem in _unrunnable(notifications, desired):
        raise problem


def warn_of_unrunnable(notifications: Notifications, desired: DesiredState) -> None:
    """Say in the log which programs cannot be run as things are. Blocking."""
    for problem in _unrunnable(notifications, desired):
        _log.warning("program cannot be run", of=problem.where, problem=problem.problem)


def _unrunnable(
    notifications: Notifications, desired: DesiredState
) -> Iterator[ConfigError]:
    lack = cache(defect)
    for number, program in enumerate(notifications.programs):
        at = f"notify[{number}]"
        if problem := stranger(program.user):
            yield ConfigError(at, problem, f"{at}.user")
        elif problem := lack(program.command[0], program.user):
            yield ConfigError(at, problem, f"{at}.command")
    for number, service in enumerate(desired):
        for path, check in service.every_check:
            if not isinstance(check, ExecCheck) or "{" in check.command[0]:
                continue  # of the latter there is one for each backend
            if problem := lack(check.command[0]):
                where = f"service {service.name!r}, check (exec)"
                yield ConfigError(where, problem, f"services[{number}].{path}.command")
