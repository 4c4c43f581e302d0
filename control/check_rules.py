"""Rules of single values of health checks: hosts, paths, headers, patterns, codes."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

from control.addresses import MAX_PORT

MAX_TEXT: Final = 4096  # characters of a path, a pattern, an argument
_LABEL: Final = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}")
_HOST_HEADER: Final = re.compile(r"(\[[^]]*\]|[^:]*)(?::([0-9]{1,5}))?")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")  # RFC 9110, 5.6.2
_STATUS: Final = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")


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


def is_host(text: str) -> bool:
    """Tell whether ``text`` is the name of a host, or an address."""
    return bool(_NAME.fullmatch(text)) or _is_address(text)


def is_host_header(text: str) -> bool:
    """Tell whether ``text`` is a host as HTTP names it, maybe with a port."""
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


def is_source(text: str) -> bool:
    """Tell whether ``text`` is an address that packets may come from."""
    if not _is_address(text):
        return False
    address = ip_address(text)
    return not (address.is_multicast or address.is_unspecified)


def is_visible(text: str) -> bool:
    """Tell whether ``text`` is visible ASCII characters, and not too many."""
    return len(text) <= MAX_TEXT and all("!" <= character <= "~" for character in text)


def header_problems(name: str, value: str) -> Iterator[str]:
    """Say what is wrong with a header of HTTP, a clause each."""
    if not _HEADER_NAME.fullmatch(name):
        yield f"header {name!r} is not the name of one"
    elif name.lower() == "host":
        yield "header Host is given by `host`"
    if len(value) > MAX_TEXT or not all(" " <= character <= "~" for character in value):
        yield f"header {name} may have printable ASCII characters only"


def status_problems(text: str) -> Iterator[str]:
    """Say what is wrong with the status codes that are wanted."""
    try:
        status_ranges(text)
    except ValueError as error:
        yield f"status: {error}"


def regex_problems(pattern: str) -> Iterator[str]:
    """Say what is wrong with a regular expression."""
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


def path_problems(name: str, path: str) -> Iterator[str]:
    """Say what is wrong with the path of a file, which is called ``name``."""
    if not path.startswith("/") or "\0" in path or len(path) > MAX_TEXT:
        yield f"{name} {path!r} is not an absolute path, from / on"


def tls_problems(ca: str | None, sni: str | None, *, verify: bool) -> Iterator[str]:
    """Say what is wrong with what a check says of certificates, a clause each."""
    if ca is not None:
        yield from path_problems("ca", ca)
        if not verify:
            yield "ca does not go with verify: false"
    if sni is not None and not is_host(sni):
        yield f"sni {sni!r} is not a host name"
