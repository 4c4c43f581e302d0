"""Who answers at the socket, and what may go wrong on the way there as one sentence."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from control.api.address import target
from control.cli.place import Place, Remote
from control.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from control.api.v1 import events_pb2
    from control.cli.rpc import ConfigurationMethod, Method

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Failure(click.ClickException):
    """A command failed: one sentence on stderr, exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentence as Unix tools do."""
        click.echo(f"guideway: {self.format_message()}", file=file, err=True)


class Unanswered(Failure):
    """Nobody answers; guidewayd may be about to start again."""


@dataclass(frozen=True, slots=True)
class Client:
    """The daemon behind a socket, or on another host."""

    socket: Path
    timeout: float  # seconds that a call may take
    remote: Remote | None = None  # then ``socket`` does not count

    def call(self, method: "Method[Request, Answer]", request: Request) -> Answer:
        """Call the method that ``method`` picks from a stub; raise Failure.

        Example: ``client.call(lambda stub: stub.GetStatus, pb.GetStatusRequest())``.
        """
        place = self._reached()
        # Importing gRPC takes longer than most commands: not for --help, nor for nobody.
        from control.cli.rpc import CallError, GoneError, call  # noqa: PLC0415

        try:
            return call(place, method, request, self.timeout)
        except GoneError as error:
            raise Unanswered(str(error)) from error
        except CallError as error:
            raise Failure(str(error)) from error

    def watch(
        self, request: "events_pb2.WatchRequest"
    ) -> "Iterator[events_pb2.WatchResponse]":
        """Give what happens until the daemon ends; raise Failure."""
        place = self._reached()
        from control.cli.rpc import CallError, watch  # noqa: PLC0415 - as above

        try:
            yield from watch(place, request)
        except CallError as error:
            raise Failure(str(error)) from error

    def configure(
        self, method: "ConfigurationMethod[Request, Answer]", request: Request
    ) -> Answer:
        """Do as :meth:`call` with a method of the service Configuration."""
        place = self._reached()
        from control.cli.rpc import CallError, configure  # noqa: PLC0415 - as above

        try:
            return configure(place, method, request, self.timeout)
        except CallError as error:
            raise Failure(str(error)) from error

    def reach(self) -> None:
        """Raise Failure if nobody listens: sooner than gRPC would, and in clearer words."""
        if self.remote is not None:
            self._reach_remote(self.remote)
            return
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(self.timeout)
                probe.connect(str(self.socket.absolute()))
        except PermissionError as error:
            raise Failure(
                f"may not open {self.socket}: only root may talk to guidewayd, and the "
                "members of the group that its file names (try sudo)"
            ) from error
        except OSError as error:
            reason = error.strerror or error
            raise Unanswered(
                f"cannot reach guidewayd at {self.socket}: is it running? ({reason})"
            ) from error

    def _reach_remote(self, remote: Remote) -> None:
        try:
            with socket.create_connection((remote.host, remote.port), self.timeout):
                pass
        except OSError as error:
            reason = error.strerror or error
            raise Unanswered(
                f"cannot reach guidewayd at {remote.host} port {remote.port}: is it "
                f"running, with `api.listen`? ({reason})"
            ) from error

    def _reached(self) -> Place:
        try:
            place = self.remote.place if self.remote else Place(target(self.socket))
        except ConfigError as error:
            raise Failure(str(error)) from error
        self.reach()
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # or it writes to stderr, too
        return place
