"""VRRP messages as bytes: version 3 (RFC 9568, 5.2) and version 2 (RFC 3768, 5.1).

              version 3                         version 2
    0         version (4 bits), type 1 (4 bits)
    1         VRID
    2         priority
    3         number of addresses, n
    4         reserved (4 bits), interval        type of authentication
    5           in centiseconds (12 bits)        interval in seconds
    6..7      checksum
    8..       n addresses of 4 or 16 bytes       n addresses of 4 bytes, password of 8 bytes

Bytes are checked here, policy is not: whether the VRID is ours is for the caller to say.
"""

import hmac
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from vrrp.checksum import internet_checksum, pseudo_header
from vrrp.errors import Fault, MalformedError

IpAddress = IPv4Address | IPv6Address

PROTOCOL: Final = 112  # in the IP header
GROUP: Final = IPv4Address("224.0.0.18")
GROUP6: Final = IPv6Address("ff02::12")
TTL: Final = 255  # what was routed has less: nobody can speak VRRP from afar
INTERNETWORK_CONTROL: Final = 0xC0  # the precedence of routing protocols
PASSWORD_BYTES: Final = 8
IPV4: Final = 4
IPV6: Final = 6
CURRENT: Final = 3  # RFC 9568
CLASSIC: Final = 2  # RFC 3768

_TYPE: Final = 1
_INTERVAL_MASK: Final = 0x0FFF
_HEADER: Final = struct.Struct("!BBBBHH")
_CHECKSUM: Final = slice(6, 8)
_NO_AUTHENTICATION: Final = 0
_SIMPLE_PASSWORD: Final = 1


@dataclass(frozen=True, slots=True)
class Advertisement:
    """What an Active router says about itself."""

    vrid: int  # 1…255
    priority: int  # 1…254, 255 for the owner of the addresses, 0 for "I resign"
    # Seconds between advertisements: 0.01…40.95 in steps of 0.01, or 1…255 in version 2.
    interval: float
    addresses: tuple[IpAddress, ...]  # 1…255 of them, of one family


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which VRRP is spoken; the routers of one virtual router have to agree."""

    family: int = IPV4
    version: int = CURRENT  # or CLASSIC, over IPv4 alone
    password: bytes = b""  # of version 2, at most 8 bytes; empty: no authentication
    # RFC 5798 leaves open whether the checksum of version 3 over IPv4 covers a
    # pseudo-header. With one is how keepalived sends it, and all that it accepts.
    pseudo_header: bool = True

    @property
    def group(self) -> IpAddress:
        """Where advertisements go when no peers are named."""
        return GROUP if self.family == IPV4 else GROUP6

    def pack(self, said: Advertisement, source: IpAddress, destination: IpAddress) -> bytes:
        """Return the message with its checksum."""
        header = _HEADER.pack(
            self.version << 4 | _TYPE,
            said.vrid,
            said.priority,
            len(said.addresses),
            self._interval_field(said.interval),
            0,
        )
        message = bytearray(header + b"".join(a.packed for a in said.addresses))
        message += self._trailer
        covered = bytes(message)
        if self.version != CLASSIC and (self.pseudo_header or self.family != IPV4):
            covered = _with_pseudo_header(covered, source, destination)
        message[_CHECKSUM] = internet_checksum(covered).to_bytes(2, "big")
        return bytes(message)

    def parse(
        self, data: bytes, source: IpAddress, destination: IpAddress
    ) -> Advertisement:
        """Return what a message says, or raise MalformedError that says why it is refused.

        ``data`` is what follows the IP header. Whatever it holds, no other error is raised.
        Of version 3 over IPv4 both forms of the checksum are accepted.
        """
        if len(data) < _HEADER.size:
            raise MalformedError(
                Fault.LENGTH, f"it has {len(data)} bytes, fewer than a header of 8"
            )
        version_and_type, vrid, priority, count, interval, _ = _HEADER.unpack_from(data)
        version, kind = version_and_type >> 4, version_and_type & 0x0F
        if version != self.version:
            raise MalformedError(
                Fault.VERSION, f"it has version {version}, not {self.version}"
            )
        if kind != _TYPE:
            raise MalformedError(Fault.TYPE, f"it has type {kind}, not {_TYPE}")
        if vrid == 0:
            raise MalformedError(Fault.VRID, "its VRID is 0")
        if count == 0:
            raise MalformedError(Fault.COUNT, "it names no address")
        end = _HEADER.size + count * self._address_bytes
        expected = end + len(self._trailer)
        if len(data) != expected:
            raise MalformedError(
                Fault.LENGTH,
                f"it has {len(data)} bytes, not {expected} for {count} addresses",
            )
        seconds = self._interval(interval)
        self._check_sum(data, source, destination)
        self._authenticate(interval >> 8, data[end:])
        return Advertisement(vrid, priority, seconds, self._addresses(data[8:end]))

    @property
    def _authentication(self) -> int:
        return _SIMPLE_PASSWORD if self.password else _NO_AUTHENTICATION

    @property
    def _trailer(self) -> bytes:
        if self.version == CLASSIC:
            return self.password.ljust(PASSWORD_BYTES, b"\0")
        return b""

    @property
    def _address_bytes(self) -> int:
        return 4 if self.family == IPV4 else 16

    def _interval_field(self, seconds: float) -> int:
        if self.version == CLASSIC:
            return self._authentication << 8 | round(seconds)
        return round(seconds * 100)

    def _interval(self, field: int) -> float:
        if self.version == CLASSIC:
            seconds: float = field & 0xFF
        else:
            seconds = (field & _INTERVAL_MASK) / 100  # the reserved bits are to be ignored
        if seconds == 0:
            raise MalformedError(Fault.INTERVAL, "its interval is 0")
        return seconds

    def _check_sum(self, data: bytes, source: IpAddress, destination: IpAddress) -> None:
        bare = self.family == IPV4 and internet_checksum(data) == 0
        if bare or (
            self.version != CLASSIC
            and internet_checksum(_with_pseudo_header(data, source, destination)) == 0
        ):
            return
        raise MalformedError(Fault.CHECKSUM, "its checksum is wrong")

    def _authenticate(self, kind: int, password: bytes) -> None:
        """Check the password of version 2; it is no secret to who listens on the LAN."""
        if self.version != CLASSIC:
            return
        if kind != self._authentication:
            raise MalformedError(
                Fault.AUTHENTICATION,
                f"its type of authentication is {kind}, not {self._authentication}",
            )
        if self.password and not hmac.compare_digest(password, self._trailer):
            raise MalformedError(Fault.PASSWORD, "its password is not ours")

    def _addresses(self, data: bytes) -> tuple[IpAddress, ...]:
        size = self._address_bytes
        kind = IPv4Address if self.family == IPV4 else IPv6Address
        return tuple(kind(data[at : at + size]) for at in range(0, len(data), size))


def _with_pseudo_header(message: bytes, source: IpAddress, destination: IpAddress) -> bytes:
    return pseudo_header(source, destination, PROTOCOL, len(message)) + message
