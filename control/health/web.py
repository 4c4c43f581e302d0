"""A probe by HTTP or HTTPS: the answer has the right status and the right body."""

import hashlib
import socket
import ssl
from ipaddress import ip_address
from typing import Final

import re2
from aiohttp import (
    ClientConnectorCertificateError,
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from multidict import CIMultiDict
from yarl import URL

from control.addresses import with_port
from control.check_rules import status_ranges
from control.checks import DIGESTS, HttpCheck, HttpsCheck
from control.health import tls
from control.health.peer import Peer
from control.health.result import PASSED, Result, of_os_error, one_line

MAX_BODY: Final = 1 << 20  # bytes; more is not read


async def probe(peer: Peer, check: HttpCheck) -> Result:
    """Send the request and judge the answer; raises OSError, NoResultError."""
    secure = check if isinstance(check, HttpsCheck) else None
    scheme = "https" if secure else "http"
    place = with_port(ip_address(peer.place[0]), peer.port)
    url = URL(f"{scheme}://{place}{check.path}", encoded=True)
    headers = CIMultiDict({"User-Agent": "guideway", "Accept-Encoding": "identity"})
    if peer.way:  # or else it is called by an address that it does not have
        headers["Host"] = with_port(peer.address, peer.port)
    headers.update(check.headers)
    headers.update({"Host": check.host} if check.host else {})
    context = tls.context(secure.ca, verify=secure.verify) if secure else True
    connector = TCPConnector(
        ssl=context,
        force_close=True,
        socket_factory=lambda _: peer.open(socket.SOCK_STREAM),
    )
    try:
        async with ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, sock_connect=None),  # the caller has one
            auto_decompress=False,
        ) as session:
            answer = await session.request(
                check.method,
                url,
                headers=headers,
                allow_redirects=False,
                server_hostname=_server_name(secure, peer) if secure else None,
            )
            try:
                return await _judge(answer, check)
            finally:
                answer.close()
    except ClientConnectorCertificateError as error:
        return _no_tls(error, error.certificate_error)
    except ClientSSLError as error:
        return _no_tls(error, error.__cause__)
    except OSError as error:  # some of ClientError are
        return of_os_error(error, peer.port)
    except (ClientError, ValueError) as error:
        return _nonsense(error)


def _server_name(check: HttpsCheck, peer: Peer) -> str | None:
    """Return the name for SNI, which the certificate has to have."""
    if check.sni or not check.host:
        return check.sni or str(peer.address)
    return URL(f"https://{check.host}").host


async def _judge(answer: ClientResponse, check: HttpCheck) -> Result:
    if not any(answer.status in codes for codes in status_ranges(check.status)):
        return Result(one_line(f"status {answer.status} {answer.reason or ''}"))
    if check.regex is None and check.digest is None:
        return PASSED
    return _judge_body(await _read(answer), check)


def _judge_body(body: bytes, check: HttpCheck) -> Result:
    if check.regex is not None and not re2.search(check.regex, body):
        return Result("its answer does not hold what `regex` looks for")
    if check.digest is None:
        return PASSED
    if len(body) > MAX_BODY:
        return Result(f"its answer is larger than {MAX_BODY} bytes: too large for a digest")
    found = hashlib.new(DIGESTS[len(check.digest)], body, usedforsecurity=False)
    if found.hexdigest() != check.digest:
        return Result(f"its answer has the digest {found.hexdigest()}")
    return PASSED


async def _read(answer: ClientResponse) -> bytes:
    """Return the body, or its beginning: one byte more than is allowed."""
    body = b""
    async for part in answer.content.iter_any():
        body += part
        if len(body) > MAX_BODY:
            break
    return body[: MAX_BODY + 1]


def _no_tls(error: Exception, cause: BaseException | None) -> Result:
    return tls.failed(cause) if isinstance(cause, ssl.SSLError) else _nonsense(error)


def _nonsense(error: Exception) -> Result:
    said = error.message if isinstance(error, ClientResponseError) else str(error)
    return Result(one_line(f"no answer in HTTP: {said or type(error).__name__}"))
