"""keepalived's checkers of one real server, as checks of ours."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from control.check_common import MAX_SECONDS, Initial, NetworkCheck
from control.checks import (
    AnyCheck,
    DnsCheck,
    ExecCheck,
    HttpCheck,
    HttpsCheck,
    IcmpCheck,
    SmtpCheck,
    TcpCheck,
    UdpCheck,
)
from control.importing.body import Body
from control.importing.notes import Notes
from control.importing.statements import Statement
from control.importing.web_checkers import requests

_MOST_RETRIES: Final = 999
_NOT_BOUND: Final = "probes are sent as this host's routes say; left out"
_PROGRAM: Final = (
    "the program runs as guidewayd does; left out",
    "the program has to be named by its absolute path; the check is left out",
)
SENTENCES: Final[Mapping[str, str]] = {
    "bind_port": _NOT_BOUND,
    "fwmark": _NOT_BOUND,
    "connect_ip": "the backend itself is asked, at its own address; left out",
    "log_all_failures": "changes of health are logged, and the reason of the last failure",
    "warmup": "first probes are spread by themselves; left out",
    "user": _PROGRAM[0],
    "min_reply_length": "the length of an answer does not count; left out",
    "max_reply_length": "the length of an answer does not count; left out",
    "host": "the backend itself is asked, at its own address; left out",
    "http_protocol": "requests are made by HTTP/1.1; left out",
    "fast_recovery": "each url is a check of its own, which begins at once; left out",
}
_FOREIGN: Final[Mapping[str, str]] = {
    "FILE_CHECK": "a file here says up, down or a weight, and no points: type `file`; the "
    "check is left out",
    "BFD_CHECK": "there is no BFD; the check is left out",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How often is asked, and how long is waited: of a service, a server, a checker."""

    interval: float = 60
    timeout: float = 5
    retries: int | None = None  # None: as the checker has it
    pause: float | None = None  # seconds before it is tried again; None: likewise
    alpha: bool = False  # down until it is found to be up

    def narrowed(self, body: Body) -> "Pace":
        """Return the pace with what a block says of it."""
        interval = body.number("delay_loop", least=0.01, most=MAX_SECONDS)
        timeout = body.number("connect_timeout", least=0.01, most=MAX_SECONDS)
        retries = body.whole("retry", "nb_get_retry", least=0, most=_MOST_RETRIES)
        pause = body.number("delay_before_retry", least=0.01, most=MAX_SECONDS)
        alpha = body.flag("alpha")
        return Pace(
            self.interval if interval is None else interval,
            self.timeout if timeout is None else timeout,
            self.retries if retries is None else retries,
            self.pause if pause is None else pause,
            self.alpha if alpha is None else alpha,
        )


@dataclass(frozen=True, slots=True)
class Server:
    """What checkers have to know of their real server."""

    address: str
    port: int
    pace: Pace
    host: str | None  # virtualhost


_Make = Callable[[Body, Server], Iterator[AnyCheck]]


def checks_of(body: Body, server: Server) -> tuple[AnyCheck, ...]:
    """Take the checkers out of the block of a real server."""
    for one in body.every(*_FOREIGN):
        body.note(one, _FOREIGN[one.keyword])
    checkers = body.every(*_CHECKERS)
    found = (check for one in checkers for check in _checks(one, body.notes, server))
    return tuple(dict.fromkeys(found))


def _checks(checker: Statement, notes: Notes, server: Server) -> Iterator[AnyCheck]:
    make, retries, pause = _CHECKERS[checker.keyword]
    body = Body(checker, notes)
    pace = server.pace.narrowed(body)
    retries = retries if pace.retries is None else pace.retries
    if pause is None:  # as in a DNS_CHECK
        pause = pace.interval
    pause = pause if pace.pause is None else pace.pause
    port = body.whole("connect_port", least=1, most=65535)
    if (at := body.last("connect_ip")) and at.arguments != (server.address,):
        body.note(at, SENTENCES["connect_ip"])
    origin = _origin(body, server)
    made = list(make(body, replace(server, pace=pace)))
    body.rest(SENTENCES)
    for check in made:
        timed = replace(
            check,
            interval=pace.interval,
            timeout=pace.timeout if check.kind != "exec" else check.timeout,
            rise=1,
            fall=retries + 1,
            retry_interval=pause if retries and pause != pace.interval else None,
            initial=Initial.DOWN if pace.alpha else Initial.FIRST,
            port=port if check.uses_port and port != server.port else None,
            **(origin if isinstance(check, NetworkCheck) else {}),
        )
        if problem := next(timed.problems(), None):
            notes.add(checker.place, checker.keyword, f"{problem}; the check is left out")
        else:
            yield timed


def _origin(body: Body, server: Server) -> dict[str, Any]:
    """Return where the probes of a checker come from."""
    source, at = None, body.last("bindto")
    if at and at.arguments and (":" in at.arguments[0]) == (":" in server.address):
        source = at.arguments[0]
    elif at:
        body.note(at, "is no address of the backend's family; left out")
    return _given(source=source, interface=body.word("bind_if"))


def _tcp(_: Body, _server: Server) -> Iterator[AnyCheck]:
    yield TcpCheck()


def _ping(_: Body, _server: Server) -> Iterator[AnyCheck]:
    yield IcmpCheck()


def _smtp(body: Body, _: Server) -> Iterator[AnyCheck]:
    yield SmtpCheck(**_given(helo=body.word("helo_name")))


def _dns(body: Body, _: Server) -> Iterator[AnyCheck]:
    record = body.word("type")
    yield DnsCheck(**_given(record=record and record.upper(), name=body.word("name")))


def _misc(body: Body, server: Server) -> Iterator[AnyCheck]:
    timeout = body.number("misc_timeout", least=0.01, most=MAX_SECONDS)
    dynamic = body.flag("misc_dynamic") or False
    path = body.last("misc_path")
    if path is None:
        body.notes.add(body.block.place, "MISC_CHECK", "has no misc_path; left out")
        return
    try:
        words = shlex.split(path.arguments[0]) if len(path.arguments) == 1 else ()
    except ValueError as error:
        body.note(path, f"{error}; the check is left out")
        return
    words = words or list(path.arguments)
    if not words or not words[0].startswith("/"):
        body.note(path, _PROGRAM[1])
        return
    own = {server.address: "{address}", str(server.port): "{port}"}
    command = (words[0], *(own.get(word, word) for word in words[1:]))
    seconds = server.pace.interval if timeout is None else timeout
    yield ExecCheck(command=command, dynamic=dynamic, timeout=seconds)


def _udp(body: Body, _: Server) -> Iterator[AnyCheck]:
    payload, reply = body.last("payload"), body.last("require_reply")
    values = {
        "payload": _hexadecimal(payload.arguments) if payload else None,
        "reply": _hexadecimal(reply.arguments) if reply else None,
    }
    yield UdpCheck(**_given(**values))


def _hexadecimal(words: tuple[str, ...]) -> str:
    """Return digits, of which each word has its own bytes: ``Ab12f 3`` is AB 12 0F 03."""
    groups = " ".join(words).split()
    pairs = (
        group[place : place + 2].rjust(2, "0")
        for group in groups
        for place in range(0, len(group), 2)
    )
    digits = "".join(pairs)
    return f"hex:{digits}" if digits else ""


def _http(body: Body, server: Server) -> Iterator[AnyCheck]:
    for values in requests(body, server.host):
        yield HttpCheck(**values)


def _https(body: Body, server: Server) -> Iterator[AnyCheck]:
    body.flag("enable_sni")  # the name is sent wherever there is one
    for values in requests(body, server.host):
        yield HttpsCheck(**values, verify=False)  # as SSL_GET does


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


# Each with its retries and the seconds before one, if nobody says; None: the interval.
_CHECKERS: Final[Mapping[str, tuple[_Make, int, float | None]]] = {
    "TCP_CHECK": (_tcp, 1, 1),
    "PING_CHECK": (_ping, 1, 1),
    "HTTP_GET": (_http, 1, 3),
    "SSL_GET": (_https, 1, 3),
    "SMTP_CHECK": (_smtp, 1, 1),
    "DNS_CHECK": (_dns, 3, None),
    "MISC_CHECK": (_misc, 0, 1),
    "UDP_CHECK": (_udp, 1, 1),
}
