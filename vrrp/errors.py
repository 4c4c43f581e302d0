"""Every error that the VRRP side raises on purpose.

VrrpError
├── ConfigError       the operator's file is wrong
├── HostError         this host lacks something, or the kernel refused
└── MalformedError    what came from the network is not an acceptable advertisement

Facts are fields, and ``str(error)`` is one sentence for an operator.
"""

from dataclasses import dataclass
from enum import StrEnum


class VrrpError(Exception):
    """Base of all errors; never raised itself."""


@dataclass(eq=False)  # by identity: an exception has to stay hashable
class ConfigError(VrrpError):
    """A value is not acceptable."""

    where: str  # a file, or a file and the place inside it
    problem: str  # what is wrong and what would be right
    field: str = (
        ""  # path of the value in the file, such as instances[0].vrid; "": no one's
    )

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


@dataclass(eq=False)
class HostError(VrrpError):
    """The host cannot do what is asked: the sentence says what, and what to do about it."""

    problem: str

    def __str__(self) -> str:
        return self.problem


class Fault(StrEnum):
    """Why a packet is discarded; the names are those of the counters in the status."""

    LENGTH = "length"  # cut short, too long, or not what its count says
    VERSION = "version"
    TYPE = "type"
    TTL = "ttl"  # or hop limit
    CHECKSUM = "checksum"
    COUNT = "count"  # of addresses
    INTERVAL = "interval"
    AUTHENTICATION = "authentication"  # another type than ours
    PASSWORD = "password"  # noqa: S105  (a name of a counter)
    VRID = "vrid"
    SOURCE = "source"  # not a peer
    DESTINATION = "destination"  # multicast where unicast is agreed on, or the other way
    REFLECTED = "reflected"  # it bears our own address


class Oddity(StrEnum):
    """What is strange about an advertisement that is heeded all the same."""

    ADDRESSES = "addresses"  # it does not list those that we would
    OWNER = "owner"  # it owns the addresses, as we do

    @property
    def reason(self) -> str:
        """What is odd, and what an operator can do about it: a sentence for the log."""
        if self is Oddity.OWNER:
            return "two nodes own the addresses: give one of them a priority below 255"
        return "it lists other addresses than ours: make `addresses` equal on all nodes"


@dataclass(eq=False)
class MalformedError(VrrpError):
    """A received packet must be discarded; RFC 9568, section 7.1."""

    fault: Fault
    reason: str  # completes "the packet is discarded: …"

    def __str__(self) -> str:
        return self.reason
