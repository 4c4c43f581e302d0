"""Probes over TLS: certificates that are right, and those that are not."""

import asyncio
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from control.checks import HttpsCheck, TlsCheck
from control.health.kinds import probe
from control.health.result import PASSED, NoResultError, Result
from tests.support.servers import LOOPBACK, Line, probed

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A CA, and the file that its certificate is in."""

    ca: trustme.CA
    file: str

    def server(self, *names: str, **settings: object) -> ssl.SSLContext:
        """Return what a server needs whose certificate is for ``names``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names, **settings).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    """Return a CA of our own."""
    ca, file = trustme.CA(), tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return Authority(ca, str(file))


async def well(line: Line) -> None:
    await line.reader.readuntil(b"\r\n\r\n")
    await line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("kind", [TlsCheck, HttpsCheck])
def test_a_certificate_for_the_address_or_for_the_name_is_right(kind, authority) -> None:
    by_address = authority.server("127.0.0.1")
    by_name = authority.server("www.example")

    ours = kind(ca=authority.file)
    assert probed(ours, well, ssl=by_address).result == PASSED
    named = kind(ca=authority.file, sni="www.example")
    assert probed(named, well, ssl=by_name).result == PASSED


def test_the_name_in_the_certificate_may_be_that_of_the_host_header(authority) -> None:
    check = HttpsCheck(ca=authority.file, host="www.example:8443")

    assert probed(check, well, ssl=authority.server("www.example")).result == PASSED


def test_the_server_hears_the_name_that_it_is_asked_for(authority) -> None:
    heard = []
    context = authority.server("www.example")
    context.sni_callback = lambda _, name, __: heard.append(name)

    probed(TlsCheck(ca=authority.file, sni="www.example"), well, ssl=context)

    assert heard == ["www.example"]


@pytest.mark.parametrize("kind", [TlsCheck, HttpsCheck])
def test_a_certificate_that_is_not_right_fails_and_it_is_said_why(kind, authority) -> None:
    ours = kind(ca=authority.file)

    expired = authority.server("127.0.0.1", not_after=YESTERDAY)
    foreign = Authority(trustme.CA(), "").server("127.0.0.1")
    other = authority.server("other.example")

    problems = [
        probed(check, well, ssl=context).result.problem
        for check, context in (
            (ours, expired),
            (ours, foreign),
            (ours, other),
            (kind(), authority.server("127.0.0.1")),
            (kind(ca=authority.file, sni="www.example"), other),
        )
    ]
    said = "its certificate is not right: "
    assert [problem.removeprefix(said) for problem in problems] == [
        "certificate has expired",
        "unable to get local issuer certificate",
        "IP address mismatch, certificate is not valid for '127.0.0.1'.",
        "unable to get local issuer certificate",
        "Hostname mismatch, certificate is not valid for 'www.example'.",
    ]


@pytest.mark.parametrize("kind", [TlsCheck, HttpsCheck])
def test_who_does_not_want_to_verify_takes_any_certificate(kind, authority) -> None:
    expired = authority.server("other.example", not_after=YESTERDAY)

    assert probed(kind(verify=False), well, ssl=expired).result == PASSED


@pytest.mark.parametrize("kind", [TlsCheck, HttpsCheck])
def test_what_is_not_tls_fails(kind) -> None:
    async def plain(line: Line) -> None:
        await line.reader.read(1)
        await line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def closed(_: Line) -> None:
        pass

    answer = probed(kind(verify=False, timeout=5), plain).result
    assert answer == Result("no TLS: WRONG_VERSION_NUMBER")
    problem = probed(kind(verify=False, timeout=5), closed).result.problem
    assert problem == "port N: Connection reset by peer"


@pytest.mark.parametrize("kind", [TlsCheck, HttpsCheck])
def test_a_handshake_that_never_ends_fails_in_time(kind) -> None:
    late = Result("no answer from port N within 0.3 s")
    check = kind(verify=False, timeout=0.3)

    assert probed(check, Line.silence).result == late
    incomplete = b"\x16\x03\x03\x40\x00" + bytes(99)  # a record of 16 kB
    assert probed(check, lambda line: line.drip(incomplete)).result == late


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_without_its_file_of_cas_nothing_is_said_of_the_backend(content, tmp_path) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)

    with pytest.raises(NoResultError, match=str(file)):
        asyncio.run(probe(LOOPBACK, 1, TlsCheck(ca=str(file))))


def test_a_file_of_cas_that_changes_is_read_again(tmp_path) -> None:
    file = tmp_path / "ca.pem"
    check = TlsCheck(ca=str(file))
    results = []
    for number in range(2):
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(file))
        os.utime(file, (number, number))
        server = Authority(ca, "").server("127.0.0.1")
        results.append(probed(check, well, ssl=server).result)

    assert results == [PASSED, PASSED]
