"""A backend's UDP server: ``python -m vagrant.lab.echo --name b1 --port 53``.

It answers each datagram with its name, a space, and what it was sent. Like a name server it
listens on the TCP port of that number, too, and names itself there: what health checks see.
"""

import argparse
import socket
import threading
from contextlib import suppress
from typing import Final

_LARGEST_DATAGRAM: Final = 65535


def echo_datagrams(name: str, server: socket.socket) -> None:
    """Answer datagrams for ever."""
    while True:
        # The answer has to come from the address that was asked, which in direct return is
        # the VIP: so what came beside the data (the address) goes back with it.
        data, beside, _, client = server.recvmsg(_LARGEST_DATAGRAM, 64)
        with suppress(OSError):  # the address that was asked has just gone
            server.sendmsg([name.encode(), b" ", data], beside, 0, client)


def name_on_connect(name: str, port: int) -> None:
    """Name ourselves to everyone who connects, for ever."""
    with socket.create_server(
        ("", port), family=socket.AF_INET6, backlog=1024, dualstack_ipv6=True
    ) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(1)
                try:
                    connection.sendall(f"{name}\n".encode())
                except OSError:  # a health check that has seen enough
                    continue


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="echo", description=__doc__)
    parser.add_argument("--name", required=True, help="who answers")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    both = (arguments.name, arguments.port)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        server.bind(("", arguments.port))
        # Who can connect may take it that datagrams are answered, too.
        threading.Thread(target=name_on_connect, args=both, daemon=True).start()
        echo_datagrams(arguments.name, server)


if __name__ == "__main__":
    main()
