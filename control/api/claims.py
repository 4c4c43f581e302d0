"""What a client says of itself in the metadata of a call. Nobody has verified it.

Imports nothing heavy: the command line needs the names of the keys.
"""

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from control.api.status_codes import Context
    from control.database import Source

CLIENT_KEY: Final = "guideway-client"
USER_KEY: Final = "guideway-user"
COMMAND_LINE: Final = "cli"

_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\Z")


def source_of(context: "Context") -> "Source":
    """Return which way a change came."""
    return "cli" if _claim(context, CLIENT_KEY) == COMMAND_LINE else "api"


def claimed_user(context: "Context") -> str | None:
    """Return the user that the client says it acts for; None if it does not say."""
    user = _claim(context, USER_KEY)
    return user if user is not None and _USER.match(user) else None


def _claim(context: "Context", key: str) -> str | None:
    for name, value in context.invocation_metadata() or ():
        if name == key and isinstance(value, str):
            return value
    return None
