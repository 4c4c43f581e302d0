"""Where guidewayd is, as the options of the command line say it."""

from dataclasses import dataclass
from pathlib import Path

import click

from control.addresses import split_port


@dataclass(frozen=True, slots=True)
class Place:
    """What gRPC needs to get there."""

    target: str
    # CAs, our certificate and its key; None: no TLS, on a unix socket.
    files: tuple[Path, Path, Path] | None = None


@dataclass(frozen=True, slots=True)
class Remote:
    """guidewayd on another host, over TCP with TLS."""

    host: str
    port: int
    files: tuple[Path, Path, Path]  # CAs, our certificate and its key

    @property
    def place(self) -> Place:
        """Where that is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return Place(f"dns:///{host}:{self.port}", self.files)


def remote(address: str, ca: Path | None, cert: Path | None, key: Path | None) -> Remote:
    """Return what ``--address`` and its companions say; raise click.UsageError."""
    files = {"--ca": ca, "--cert": cert, "--key": key}
    given = [path for path in files.values() if path is not None]
    if len(given) < len(files):
        missing = " and ".join(name for name, path in files.items() if path is None)
        raise click.UsageError(f"--address needs {missing}, too")
    host, port = split_port(address)
    if not host or port is None or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise click.UsageError(
            f"--address {address!r} is not HOST:PORT, such as 192.0.2.1:7007 or "
            "[2001:db8::1]:7007"
        )
    return Remote(host, int(port), (given[0], given[1], given[2]))
