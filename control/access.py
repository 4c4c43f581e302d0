"""Who may use the API, and where it is served: what the configuration says of it."""

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Role(IntEnum):
    """What somebody may do; each may do what those before it may."""

    NONE = 0
    PEER = 1  # follow rings and recorded flows, as a node that would take over
    VIEW = 2  # look at everything
    CHANGE = 3  # and change everything


@dataclass(frozen=True, slots=True)
class Tcp:
    """The API over TCP, with certificates on both ends."""

    address: str  # an IP address
    port: int  # 0: one that is free
    certificate: Path  # ours, with those that lead to its CA; PEM
    key: Path  # PEM, not encrypted
    client_ca: Path  # the CAs of our clients; PEM
    change: tuple[str, ...] = ()  # whose certificates may: "O=ops" or "CN=alice"
    view: tuple[str, ...] = ()
    peer: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """Address and port as gRPC wants to have them."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Access:
    """Everything about it."""

    group: str | None = None  # may open the socket; None: root alone
    change_group: str | None = None  # of them, who may change; None: all
    tcp: Tcp | None = None


@dataclass(frozen=True, slots=True)
class PeerNode:
    """Another node of the cluster, where its API is."""

    address: str  # an IP address
    port: int
    name: str | None = None  # that its certificate is made out to; None: the address

    @property
    def where(self) -> str:
        """Address and port as gRPC wants to have them."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Sync:
    """Whom this node follows, and how."""

    peers: tuple[PeerNode, ...] = ()
    interval: float = 0.25  # seconds between looks at what is news
    always: bool = False  # flows of services with affinity `always` too
