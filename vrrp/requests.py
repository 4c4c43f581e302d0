"""What an operator may ask of a running guideway-vrrpd, and what it answers.

Over a Unix stream socket: one line of JSON there, one line back, and the connection is
over.
"""

from typing import Any, Final

from msgspec import Struct

MAX_REQUEST: Final = 4096  # bytes, with the newline
MAX_ANSWER: Final = 1 << 22  # bytes: 255 instances on each of many interfaces
SOCKET_NAME: Final = "vrrpd.sock"  # beside the status file


class Request(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    """Any of them."""


class ShowStatus(Request, frozen=True, tag="status"):
    """Say how everything stands."""


class Failover(Request, frozen=True, tag="failover"):
    """Hand an instance, with its sync group, over to a peer."""

    instance: str


class Maintain(Request, frozen=True, tag="maintenance"):
    """Hand everything over and rest, or take part again."""

    on: bool
    force: bool = False  # rest even if nobody takes over


AnyRequest = ShowStatus | Failover | Maintain


class Answer(Struct, frozen=True, omit_defaults=True):
    """How a request ended."""

    problem: str = ""  # one sentence; if there is one, nothing was changed
    moved: tuple[str, ...] = ()  # the instances that were handed over
    maintenance: bool = False
    instances: dict[str, dict[str, Any]] = {}  # a Status each, as in the status file
