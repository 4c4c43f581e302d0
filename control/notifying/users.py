"""Whether programs can be run as those users that they are to run as, on this host."""

from control.errors import ConfigError
from control.notifying.settings import Notifications
from programs.users import obstacle


def check_users(notifications: Notifications, status: str | None = None) -> None:
    """Raise ConfigError if a program is to run as somebody whom we cannot run it as.

    ``status`` is the text of /proc/self/status, which is read if it is not given.
    """
    for number, program in enumerate(notifications.programs):
        if problem := obstacle(program.user, "guidewayd", status):
            at = f"notify[{number}].user"
            raise ConfigError(at, problem, at)
