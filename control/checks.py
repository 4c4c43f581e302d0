"""What a health check asks of a backend: one frozen class for each kind.

Times are seconds. What a check is called in files, commands and messages is its ``kind``;
the names of its fields are the keys there. :meth:`Check.problems` says what is wrong with
the values; the service that has the check raises it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import ClassVar, Final, get_args

from control.addresses import IpAddress
from control.check_common import Check, CheckDefaults, NetworkCheck, PortCheck, Via
from control.check_rules import (
    MAX_TEXT,
    header_problems,
    is_host,
    is_host_header,
    is_visible,
    path_problems,
    regex_problems,
    status_problems,
    tls_problems,
)
from control.payloads import is_payload, payload_bytes

MAX_PAYLOAD: Final = 1400  # bytes; what no network has to fragment
DNS_RECORDS: Final = ("A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT")
DNS_RCODES: Final = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
HTTP_METHODS: Final = ("GET", "HEAD", "OPTIONS")
DIGESTS: Final = {32: "md5", 64: "sha256"}  # by the number of hexadecimal digits
_DNS_NAME: Final = re.compile(r"\.|(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpCheck(PortCheck):
    """The backend accepts a connection."""

    kind: ClassVar[str] = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsCheck(PortCheck):
    """The backend completes a TLS handshake, with a certificate that is right."""

    kind: ClassVar[str] = "tls"

    verify: bool = True
    ca: str | None = None  # file of certificates (PEM); None: the system's
    sni: str | None = None  # also the name that the certificate has to have; None: address

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from self.problems_in_common()
        yield from tls_problems(self.ca, self.sni, verify=self.verify)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpCheck(PortCheck):
    """The backend answers a request as it should. Redirects are answers, not followed."""

    kind: ClassVar[str] = "http"

    method: str = "GET"
    path: str = "/"  # as in the request, with the query
    host: str | None = None  # header of that name; None: address and port
    headers: tuple[tuple[str, str], ...] = ()
    status: str = "200-299"  # codes and ranges, separated by commas
    regex: str | None = None  # RE2; has to be found in the first MiB of the body
    digest: str | None = None  # MD5 or SHA-256 of the body, which has a MiB at most

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from self.problems_in_common()
        if self.method not in HTTP_METHODS:
            yield f"method {self.method!r} is none of {', '.join(HTTP_METHODS)}"
        if not self.path.startswith("/") or not is_visible(self.path) or "#" in self.path:
            yield (
                f"path {self.path!r} is not one: it begins with / and has visible ASCII "
                "characters only, without #"
            )
        if self.host is not None and not is_host_header(self.host):
            yield f"host {self.host!r} is neither a name nor an address"
        for name, value in self.headers:
            yield from header_problems(name, value)
        yield from status_problems(self.status)
        if self.regex is not None:
            yield from regex_problems(self.regex)
        if self.digest is not None and (
            len(self.digest) not in DIGESTS or not re.fullmatch("[0-9a-f]+", self.digest)
        ):
            yield f"digest {self.digest!r} is not 32 (MD5) or 64 (SHA-256) digits 0-9a-f"
        if self.method == "HEAD" and (self.regex is not None or self.digest is not None):
            yield "regex and digest do not go with method HEAD, whose answer has no body"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsCheck(HttpCheck):
    """As :class:`HttpCheck`, over TLS."""

    kind: ClassVar[str] = "https"

    verify: bool = True
    ca: str | None = None  # see TlsCheck
    sni: str | None = None  # None: `host`, if there is one, or the address

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from HttpCheck.problems(self)
        yield from tls_problems(self.ca, self.sni, verify=self.verify)


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpCheck(PortCheck):
    """The backend answers a datagram, or nobody says that it is unreachable.

    ``payload`` and ``reply`` are text, or hexadecimal digits after ``hex:``; in a reply, X
    stands for any digit.
    """

    kind: ClassVar[str] = "udp"

    payload: str = ""
    reply: str | None = None  # what an answer begins with; None: none is needed

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from self.problems_in_common()
        for name, text, wild in (
            ("payload", self.payload, ""),
            ("reply", self.reply, "Xx"),
        ):
            if text is None:
                continue
            if not is_payload(text, wild):
                yield f"{name} {text!r} is not hexadecimal digits, two for each byte"
            elif len(payload_bytes(text)) > MAX_PAYLOAD:
                yield f"{name} has more than {MAX_PAYLOAD} bytes"
        if self.via is Via.VIP and self.reply is None:
            yield "via: vip needs a reply: nobody says from there that a port is closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsCheck(PortCheck):
    """The backend answers a query over UDP."""

    kind: ClassVar[str] = "dns"

    name: str = "."
    record: str = "SOA"  # the type that is asked for
    rcode: str = "NOERROR"
    address: str | None = None  # has to be among the answers

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from self.problems_in_common()
        if len(self.name) > 253 or not _DNS_NAME.fullmatch(self.name):  # noqa: PLR2004
            yield f"name {self.name!r} is not a DNS name"
        if self.record not in DNS_RECORDS:
            yield f"record {self.record!r} is none of {', '.join(DNS_RECORDS)}"
        if self.rcode not in DNS_RCODES:
            yield f"rcode {self.rcode!r} is none of {', '.join(DNS_RCODES)}"
        if self.address is not None:
            yield from self._address_problems(self.address)

    def _address_problems(self, text: str) -> Iterator[str]:
        try:
            version = ip_address(text).version
        except ValueError:
            yield f"address {text!r} is not an IP address"
            return
        if self.record != (wanted := {4: "A", 6: "AAAA"}[version]):
            yield f"address {text} needs record {wanted}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecCheck(Check):
    """A program of ours finds the backend well: its exit code is 0.

    Arguments may hold ``{address}`` and ``{port}``. With ``dynamic``, codes from 2 on are
    successes too, and give the backend the weight code - 2.
    """

    kind: ClassVar[str] = "exec"
    needs_port: ClassVar[bool] = False

    command: tuple[str, ...] = ()  # program, by its absolute path, and arguments
    dynamic: bool = False

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from self.problems_in_common()
        if not self.command:
            yield "command is required: a program and its arguments"
        elif not self.command[0].startswith("/"):
            yield f"command {self.command[0]!r} is not an absolute path, from / on"
        if any("\0" in word for word in self.command):
            yield "command has a zero character in it"
        if sum(map(len, self.command)) > MAX_TEXT:
            yield f"command has more than {MAX_TEXT} characters"


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcCheck(PortCheck):
    """The backend says SERVING by the standard health service, grpc.health.v1."""

    kind: ClassVar[str] = "grpc"

    service: str = ""  # "": the server as a whole
    tls: bool = False  # verified always
    ca: str | None = None  # see TlsCheck
    sni: str | None = None

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from self.problems_in_common()
        if len(self.service) > 253 or not self.service.isprintable():  # noqa: PLR2004
            yield f"service {self.service!r} is not the name of a gRPC service"
        if not self.tls and (self.ca is not None or self.sni is not None):
            yield "ca and sni need tls: true"
        yield from tls_problems(self.ca, self.sni, verify=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpCheck(NetworkCheck):
    """The backend answers a ping."""

    kind: ClassVar[str] = "icmp"
    uses_port: ClassVar[bool] = False
    needs_port: ClassVar[bool] = False

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from self.problems_in_common()
        if self.port is not None:
            yield "port does not go with type icmp: a ping has none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpCheck(PortCheck):
    """The backend greets, answers HELO, and says goodbye."""

    kind: ClassVar[str] = "smtp"

    helo: str = "guideway.invalid"  # who we say we are

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from self.problems_in_common()
        if not is_host(self.helo):
            yield f"helo {self.helo!r} is not a host name"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCheck(Check):
    """A file on this host says ``up``, ``down`` or what the backend weighs, 0…65535.

    The path may hold ``{address}`` and ``{port}``.
    """

    kind: ClassVar[str] = "file"
    needs_port: ClassVar[bool] = False

    path: str = ""

    def problems(self) -> Iterator[str]:
        """See :meth:`Check.problems`."""
        yield from self.problems_in_common()
        yield from path_problems("path", self.path)


AnyCheck = (
    TcpCheck
    | TlsCheck
    | HttpCheck
    | HttpsCheck
    | UdpCheck
    | DnsCheck
    | ExecCheck
    | GrpcCheck
    | IcmpCheck
    | SmtpCheck
    | FileCheck
)
CHECKS: Final[dict[str, type[AnyCheck]]] = {one.kind: one for one in get_args(AnyCheck)}


def following(check: AnyCheck, before: CheckDefaults, after: CheckDefaults) -> AnyCheck:
    """Return a check whose service's defaults change: a value that was theirs follows."""
    own, old, new = check.values(), before.values(), after.values()
    moved = {name: new[name] for name in own if own[name] == old[name] != new[name]}
    return replace(check, **moved) if moved else check


def fill(text: str, address: IpAddress, port: int) -> str:
    """Return an argument or a path with the backend's address and port put in."""
    return text.replace("{address}", str(address)).replace("{port}", str(port))
