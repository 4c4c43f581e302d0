"""A probe by TLS: the handshake succeeds, with a certificate that is right."""

import asyncio
import ssl
from functools import lru_cache
from pathlib import Path

from control.checks import TlsCheck
from control.health.peer import Peer
from control.health.result import PASSED, NoResultError, Result, one_line


async def probe(peer: Peer, check: TlsCheck) -> Result:
    """Connect and shake hands; raises OSError, NoResultError."""
    secured = context(check.ca, verify=check.verify)
    try:
        _, writer = await asyncio.open_connection(
            sock=await peer.connect(),
            ssl=secured,
            server_hostname=check.sni or str(peer.address),
            ssl_handshake_timeout=check.timeout,
        )
    except ssl.SSLError as error:
        return failed(error)
    writer.transport.abort()
    return PASSED


def failed(error: ssl.SSLError) -> Result:
    """Return what a handshake that failed says of a backend."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or error.reason or "no reason is given"
        return Result(one_line(f"its certificate is not right: {why}"))
    why = error.reason or error.strerror or str(error) or type(error).__name__
    return Result(one_line(f"no TLS: {why}"))


def context(ca: str | None, *, verify: bool) -> ssl.SSLContext:
    """Return what a client needs for TLS; raises NoResultError.

    ``ca`` is a file of certificates; it is read again when it has changed. None: the
    system's, which are read once.
    """
    try:
        changed = Path(ca).stat().st_mtime_ns if ca else 0
        return _context(ca, changed, verify=verify)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise NoResultError(one_line(f"{ca or 'the system store'}: {reason}")) from error


def read_ca(ca: str | None) -> bytes | None:
    """Return the text of a file of certificates, None for None; raises NoResultError."""
    try:
        return Path(ca).read_bytes() if ca else None
    except OSError as error:
        raise NoResultError(f"{ca}: {error.strerror}") from error


@lru_cache(maxsize=64)
def _context(ca: str | None, _changed: int, *, verify: bool) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca)
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
