"""Who answers at the socket, and what may go wrong on the way there as one sentence."""

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from control.api.address import target
from control.errors import ConfigError

if TYPE_CHECKING:
    from control.cli.rpc import ConfigurationMethod, Method

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Failure(click.ClickException):
    """A command failed: one sentence on stderr, exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence as Unix tools do."""
        click.echo(f"guideway: {self.format_message()}", file=file, err=True)


@dataclass(frozen=True, slots=True)
class Client:
    """The daemon behind a socket."""

    socket: Path
    timeout: float  # seconds that a call may take

    def call(self, method: "Method[Request, Answer]", request: Request) -> Answer:
        """Call the method that ``method`` picks from a stub; raise Failure.

        Example: ``client.call(lambda stub: stub.GetStatus, pb.GetStatusRequest())``.
        """
        address = self._address()
        # Importing gRPC takes longer than most commands: not for --help, nor for nobody.
        from control.cli.rpc import CallError, call  # noqa: PLC0415

        try:
            return call(address, method, request, self.timeout)
        except CallError as error:
            raise Failure(str(error)) from error

    def configure(
        self, method: "ConfigurationMethod[Request, Answer]", request: Request
    ) -> Answer:
        """Do as :meth:`call` with a method of the service Configuration."""
        address = self._address()
        from control.cli.rpc import CallError, configure  # noqa: PLC0415 - as above

        try:
            return configure(address, method, request, self.timeout)
        except CallError as error:
            raise Failure(str(error)) from error

    def _address(self) -> str:
        """Return where gRPC finds the daemon; raise Failure if nobody is there."""
        try:
            address = target(self.socket)
        except ConfigError as error:
            raise Failure(str(error)) from error
        self.reach()
        return address

    def reach(self) -> None:
        """Raise Failure if nobody listens: sooner than gRPC would, and in clearer words."""
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(self.timeout)
                probe.connect(str(self.socket.absolute()))
        except PermissionError as error:
            raise Failure(
                f"may not open {self.socket}: only root may talk to guidewayd (try sudo)"
            ) from error
        except OSError as error:
            reason = error.strerror or error
            raise Failure(
                f"cannot reach guidewayd at {self.socket}: is it running? ({reason})"
            ) from error
