"""Who is at the other end of a call.

On the unix socket that is the user whom the kernel names, over TCP who the client's
certificate names. The guard finds out once for each call (:func:`acting_as`); servicers ask
:func:`author_of`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias
from urllib.parse import unquote

from cryptography import x509
from cryptography.x509.oid import NameOID

from control.access import Role, Tcp
from control.api.claims import claimed_user
from control.api.entrance import read_name
from control.api.status_codes import Context

_SHOWN: Final = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME}
_MAX_AUTHOR: Final = 128  # characters
Names: TypeAlias = frozenset[tuple[str, str]]  # ("O", "ops")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who calls."""

    author: str  # unix user, or "CN=alice,O=ops" of the certificate
    role: Role
    via: str  # "unix" or "tcp 192.0.2.7:40000"


_NOBODY: Final = Peer("nobody", Role.NONE, "unknown")
_acting: Final[ContextVar[Peer]] = ContextVar("acting")


def author_of(context: Context) -> str:
    """Return who makes the call that ``context`` belongs to, for the history of changes.

    Root may say for whom it acts, as sudo knows. Call it from the call's own task, as
    servicers do. LookupError: no guard has let it in.
    """
    peer = _acting.get()
    if (peer.author, peer.via) == ("root", "unix"):
        return claimed_user(context) or peer.author
    return peer.author


def caller() -> Peer:
    """Return who makes the call of this task. LookupError as :func:`author_of`."""
    return _acting.get()


@contextmanager
def acting_as(peer: Peer) -> Iterator[None]:
    """Let :func:`author_of` name ``peer`` meanwhile, in this task."""
    token = _acting.set(peer)
    try:
        yield
    finally:
        _acting.reset(token)


@dataclass(frozen=True, slots=True)
class Identities:
    """Recognises peers."""

    secret: str  # of the entrance, which names its connections by it
    tcp: Tcp | None = None

    def peer_of(self, context: Context) -> Peer:
        """Return who calls; with the role NONE if that is nobody we know."""
        known = context.auth_context()
        if known.get("transport_security_type") == [b"ssl"] and self.tcp:
            pem = next(iter(known.get("x509_pem_cert", ())), b"")
            return self._certified(pem, context.peer())
        scheme, _, name = context.peer().partition(":")
        user = read_name(unquote(name), self.secret) if scheme == "unix-abstract" else None
        return Peer(user.name, user.role, "unix") if user else _NOBODY

    def _certified(self, pem: bytes, address: str) -> Peer:
        author, names = _read(pem)
        via = f"tcp {unquote(address).partition(':')[2]}"
        return Peer(author, self._role(names), via)

    def _role(self, names: Names) -> Role:
        tcp = self.tcp
        if tcp is None:
            return Role.NONE
        if names & set(map(_entry, tcp.change)):
            return Role.CHANGE
        if names & set(map(_entry, tcp.view)):
            return Role.VIEW
        return Role.PEER if names & set(map(_entry, tcp.peer)) else Role.NONE


def _entry(text: str) -> tuple[str, str]:
    kind, _, name = text.partition("=")
    return kind, name


@lru_cache(maxsize=64)
def _read(pem: bytes) -> tuple[str, Names]:
    """Return how we call the owner of a certificate, and the names that may have roles."""
    try:
        subject = x509.load_pem_x509_certificate(pem).subject
    except ValueError:  # not one that gRPC would have let in
        return _NOBODY.author, frozenset()
    found = [
        (kind, attribute)
        for kind, oid in _SHOWN.items()
        for attribute in subject.get_attributes_for_oid(oid)
    ]
    # As RFC 4514 escapes it: a comma in a name does not make it two.
    shown = ",".join(attribute.rfc4514_string() for _, attribute in found)
    author = "".join(c if c.isprintable() else "?" for c in shown)[:_MAX_AUTHOR]
    names = frozenset((kind, str(attribute.value)) for kind, attribute in found)
    return author or "a certificate without a name", names
