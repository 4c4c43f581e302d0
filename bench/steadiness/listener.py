"""A backend of many ports: ``python -m bench.steadiness.listener FIRST COUNT``.

Takes every connection and closes it.
"""

import selectors
import socket
import sys
from contextlib import suppress
from typing import Final

_BACKLOG: Final = 64


def main() -> None:
    """Listen until killed."""
    first, count = (int(word) for word in sys.argv[1:])
    ready = selectors.DefaultSelector()
    for port in range(first, first + count):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        listener.listen(_BACKLOG)
        listener.settimeout(0)
        ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - for mypy
            with suppress(OSError):  # the client has gone already
                key.fileobj.accept()[0].close()


if __name__ == "__main__":
    main()
