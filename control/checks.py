"""What a health check asks of a backend: one frozen class for each kind.

Times are seconds. What a check is called in files, commands and messages is its ``kind``;
the names of its fields are the keys there. :meth:`Check.problems` says what is wrong with
the values; the service that has the check raises it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, ClassVar, Final, get_args

from control.addresses import MAX_PORT, IpAddress

MIN_SECONDS: Final = 0.01
MAX_SECONDS: Final = 3600.0
MAX_COUNT: Final = 1000  # of rise and fall
MAX_JITTER: Final = 0.5
MAX_TEXT: Final = 4096  # characters of a path, a pattern, an argument
MAX_PAYLOAD: Final = 1400  # bytes; what no network has to fragment
DNS_RECORDS: Final = ("A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT")
DNS_RCODES: Final = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
HTTP_METHODS: Final = ("GET", "HEAD", "OPTIONS")
DIGESTS: Final = {32: "md5", 64: "sha256"}  # by the number of hexadecimal digits
_HEX: Final = "hex:"
_HALVES: Final = re.compile("[\ud800-\udfff]")  # of characters beyond U+FFFF
_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}")
_HOST_HEADER: Final = re.compile(r"(\[[^]]*\]|[^:]*)(?::([0-9]{1,5}))?")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110, 5.6.2
_DNS_NAME: Final = re.compile(r"\.|(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_INTERFACE: Final = re.compile(r"(?!\.{1,2}\Z)[^/:\s\0]{1,15}")  # linux: dev_valid_name()
_STATUS: Final = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")


class Initial(StrEnum):
    """What a backend counts as before anything has been asked of it."""

    FIRST = "first"  # nothing: the first result decides alone
    UP = "up"
    DOWN = "down"
    BEFORE = "before"  # what the kernel's tables took it for when guidewayd started


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDefaults:
    """What all kinds have in common and a service may say once for all of its checks.

    ``rise`` successes in a row bring a backend up, ``fall`` failures in a row take it down.
    The defaults find a black hole within ``fall * (interval + timeout)`` = 6 s.
    """

    interval: float = 1.0
    timeout: float = 1.0
    rise: int = 2
    fall: int = 3
    retry_interval: float | None = (
        None  # while results contradict the verdict; None: interval
    )
    initial: Initial = Initial.FIRST
    jitter: float = 0.1  # part of the interval by which it varies, both ways
    damping: float = 0.0  # seconds that a flapping backend is kept down at most; 0: none

    def problems_of_defaults(self) -> Iterator[str]:
        """Say what is wrong with the values, a clause each."""
        for name, seconds in (
            ("interval", self.interval),
            ("timeout", self.timeout),
            ("retry_interval", self.retry_interval),
        ):
            if seconds is None:
                continue
            if not MIN_SECONDS <= seconds <= MAX_SECONDS:  # so written, it refuses NaN too
                yield f"{name} {seconds:g} s is not in {MIN_SECONDS:g}…{MAX_SECONDS:g} s"
        for name, number in (("rise", self.rise), ("fall", self.fall)):
            if not 1 <= number <= MAX_COUNT:
                yield f"{name} {number} is not in 1…{MAX_COUNT}"
        if not 0 <= self.jitter <= MAX_JITTER:
            yield f"jitter {self.jitter:g} is not in 0…{MAX_JITTER:g}"
        if not 0 <= self.damping <= MAX_SECONDS:
            yield f"damping {self.damping:g} s is not in 0…{MAX_SECONDS:g} s"

    def values(self) -> dict[str, Any]:
        """Return the values by their names; of a check those that a service may say."""
        return {field.name: getattr(self, field.name) for field in fields(CheckDefaults)}


BUILT_IN: Final = CheckDefaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(CheckDefaults):
    """What all kinds have in common."""

    kind: ClassVar[str]
    uses_port: ClassVar[bool] = True
    needs_port: ClassVar[bool] = True

    port: int | None = None  # None: the backend's own

    def problems(self) -> Iterator[str]:
        """Say what is wrong with the values, a clause each."""
        yield from self.problems_in_common()

    def problems_in_common(self) -> Iterator[str]:
        """Say what is wrong with the values that are not of this kind alone."""
        if self.port is not None and not 1 <= self.port <= MAX_PORT:
            yield f"port {self.port} is not in 1…65535"
        yield from self.problems_of_defaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCheck(Check):
    """What those kinds have in common that open a socket: where it is from."""

    source: str | None = None  # an address of the node; None: as its routes say
    interface: str | None = None  # that all packets leave and come by; None: likewise

    def problems_in_common(self) -> Iterator[str]:
        """See :meth:`Check.problems_in_common`."""
        yield from Check.problems_in_common(self)
        if self.source is not None and not _is_source(self.source):
            yield f"source {self.source!r} is not an address that a host can have"
        name = self.interface
        if name is not None and not (_INTERFACE.fullmatch(name) and name.isprintable()):
            yield f"interface {self.interface!r} is not the name of one, as `ip link` shows"


class Via(StrEnum):
    """By what way a probe gets to its backend."""

    BACKEND = "backend"  # to the backend's own address
    VIP = "vip"  # to the VIP, by the backend's MAC, as clients' packets do by direct return


@dataclass(frozen=True, slots=True, kw_only=True)
class PortCheck(NetworkCheck):
    """What those have in common that ask a port: by what way they get there."""

    via: Via = Via.BACKEND

    def problems_in_common(self) -> Iterator[str]:
        """See :meth:`Check.problems_in_common`."""
        yield from NetworkCheck.problems_in_common(self)
        if self.via is Via.VIP and self.interface is not None:
            yield "interface does not go with via: vip, which goes by the service's own way"


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
        yield from _tls_problems(self.ca, self.sni, verify=self.verify)


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
        if not self.path.startswith("/") or not _is_visible(self.path) or "#" in self.path:
            yield (
                f"path {self.path!r} is not one: it begins with / and has visible ASCII "
                "characters only, without #"
            )
        if self.host is not None and not _is_host_header(self.host):
            yield f"host {self.host!r} is neither a name nor an address"
        for name, value in self.headers:
            yield from _header_problems(name, value)
        yield from _status_problems(self.status)
        if self.regex is not None:
            yield from _regex_problems(self.regex)
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
        yield from _tls_problems(self.ca, self.sni, verify=self.verify)


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
            if not _is_payload(text, wild):
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
        yield from _tls_problems(self.ca, self.sni, verify=True)


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
        if not _is_host(self.helo):
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
        yield from _path_problems("path", self.path)


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


def status_ranges(text: str) -> tuple[range, ...]:
    """Return the HTTP status codes that ``text`` stands for: ``200-299,401``."""
    ranges = []
    for part in text.split(","):
        found = _STATUS.fullmatch(part.strip())
        if not found:
            raise ValueError(
                f"{part.strip()!r} is neither a code (200) nor a range (200-299)"
            )
        codes = range(int(found[1]), int(found[2] or found[1]) + 1)
        if not codes:
            raise ValueError(f"{part.strip()!r} ends before it begins")
        ranges.append(codes)
    return tuple(ranges)


def payload_bytes(text: str) -> bytes:
    """Return the bytes that a payload or a reply stands for; 0 where any will do."""
    if text.startswith(_HEX):
        return bytes.fromhex(re.sub("[Xx]", "0", _digits(text)))
    return text.encode()


def payload_mask(text: str) -> bytes:
    """Return which bits of :func:`payload_bytes` count in a reply: 1 where they do."""
    if text.startswith(_HEX):
        digits = re.sub("[0-9A-Fa-f]", "F", _digits(text))
        return bytes.fromhex(re.sub("[Xx]", "0", digits))
    return b"\xff" * len(text.encode())


def fill(text: str, address: IpAddress, port: int) -> str:
    """Return an argument or a path with the backend's address and port put in."""
    return text.replace("{address}", str(address)).replace("{port}", str(port))


def _digits(text: str) -> str:
    """Return the digits behind ``hex:``, whatever spaces are between them."""
    return "".join(text.removeprefix(_HEX).split())


def _is_payload(text: str, wild: str) -> bool:
    if not text.startswith(_HEX):
        return not _HALVES.search(text)
    digits = _digits(text)
    return len(digits) % 2 == 0 and bool(re.fullmatch(f"[0-9A-Fa-f{wild}]*", digits))


def _is_host(text: str) -> bool:
    return bool(_NAME.fullmatch(text)) or _is_address(text)


def _is_host_header(text: str) -> bool:
    found = _HOST_HEADER.fullmatch(text)
    if found is None or int(found[2] or 0) > MAX_PORT:
        return False
    host = found[1]
    return _is_address(host[1:-1]) if host.startswith("[") else bool(_NAME.fullmatch(host))


def _is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False


def _is_source(text: str) -> bool:
    if not _is_address(text):
        return False
    address = ip_address(text)
    return not (address.is_multicast or address.is_unspecified)


def _is_visible(text: str) -> bool:
    return len(text) <= MAX_TEXT and all("!" <= character <= "~" for character in text)


def _header_problems(name: str, value: str) -> Iterator[str]:
    if not _HEADER_NAME.fullmatch(name):
        yield f"header {name!r} is not the name of one"
    elif name.lower() == "host":
        yield "header Host is given by `host`"
    if len(value) > MAX_TEXT or not all(" " <= character <= "~" for character in value):
        yield f"header {name} may have printable ASCII characters only"


def _status_problems(text: str) -> Iterator[str]:
    try:
        status_ranges(text)
    except ValueError as error:
        yield f"status: {error}"


def _regex_problems(pattern: str) -> Iterator[str]:
    if len(pattern) > MAX_TEXT:
        yield f"regex has more than {MAX_TEXT} characters"
        return
    import re2  # noqa: PLC0415 - the command line, which knows all kinds, starts fast

    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        yield f"regex {pattern!r} is not one of RE2's: {said}"


def _path_problems(name: str, path: str) -> Iterator[str]:
    if not path.startswith("/") or "\0" in path or len(path) > MAX_TEXT:
        yield f"{name} {path!r} is not an absolute path, from / on"


def _tls_problems(ca: str | None, sni: str | None, *, verify: bool) -> Iterator[str]:
    if ca is not None:
        yield from _path_problems("ca", ca)
        if not verify:
            yield "ca does not go with verify: false"
    if sni is not None and not _is_host(sni):
        yield f"sni {sni!r} is not a host name"
