"""A backend's web server: ``python -m vagrant.lab.webserver --name b1 --docroot DIR``.

``/`` names the backend in one line; every other path is a file of the document root. Every
answer says in ``X-Backend`` who gave it.
"""

import argparse
import socket
import socketserver
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Final

HEADER: Final = "X-Backend"
_CHUNK_BYTES: Final = 1 << 20


class Handler(SimpleHTTPRequestHandler):
    """Answers one client's requests, in a thread of its own."""

    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds without a byte moving, then the connection is closed

    def __init__(self, *arguments: object, backend: str, directory: str) -> None:
        self.backend = backend  # before the base class, whose constructor does all the work
        super().__init__(*arguments, directory=directory)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Name the backend, or send a file."""
        if self.path.partition("?")[0] == "/":
            self._name_backend()
        else:
            super().do_GET()

    def _name_backend(self) -> None:
        body = f"{self.backend}\n".encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        """Add who answers to every answer, errors included."""
        self.send_header(HEADER, self.backend)
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log no requests: under load that would be most of the work."""


class Server(ThreadingHTTPServer):
    """A thread for each connection, of either family."""

    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 1024  # connections that wait to be accepted

    def server_bind(self) -> None:
        """Bind, without asking the DNS for our own name as HTTPServer does."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that break off are part of what is tried here."""


def write_large_file(path: Path, size: int) -> None:
    """Fill ``path`` with ``size`` bytes that look random and are the same every time."""
    source = Random(size)  # noqa: S311 (there is nothing secret in it)
    with path.open("wb") as file:
        for start in range(0, size, _CHUNK_BYTES):
            file.write(source.randbytes(min(_CHUNK_BYTES, size - start)))


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="webserver", description=__doc__)
    parser.add_argument("--name", required=True, help="who answers")
    parser.add_argument("--docroot", type=Path, required=True)
    parser.add_argument("--port", type=int, default=80)
    arguments = parser.parse_args()
    handler = partial(Handler, backend=arguments.name, directory=str(arguments.docroot))
    with Server(("", arguments.port), handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
