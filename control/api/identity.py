"""Who is at the other end of a call."""

from typing import Final

from control.api.claims import claimed_user
from control.api.status_codes import Context

# gRPC shows nothing of who connected to a unix socket: its peer is "unix:", and its auth
# context says "insecure". But the socket has mode 0600 and belongs to root: nobody else can
# have asked, and whom root says to act for is recorded.
_OWNER: Final = "root"


def author_of(context: Context) -> str:
    """Return who makes the call that ``context`` belongs to, for the history of changes."""
    return claimed_user(context) or _OWNER
