"""From what a check says to the probe that does it. Here, and nowhere else."""

import asyncio
from collections.abc import Awaitable
from typing import assert_never

from control.addresses import IpAddress
from control.checks import (
    AnyCheck,
    DnsCheck,
    ExecCheck,
    FileCheck,
    GrpcCheck,
    HttpCheck,
    HttpsCheck,
    IcmpCheck,
    SmtpCheck,
    TcpCheck,
    TlsCheck,
    UdpCheck,
)
from control.health import dns, file, grpc, icmp, program, smtp, tcp, tls, udp, web
from control.health.peer import Peer, Way
from control.health.result import Result, no_answer, of_os_error


async def probe(  # noqa: C901, PLR0911 - an arm for each kind
    address: IpAddress, port: int, check: AnyCheck, way: Way | None = None
) -> Result:
    """Probe a backend once, within the check's time; ``way``: not at its own address.

    Raises NoResultError.
    """
    peer = Peer.of(address, port, check, way)
    match check:
        case TcpCheck():
            try:
                return await tcp.probe(peer, check.timeout)
            except OSError as error:
                return of_os_error(error, port)
        case TlsCheck():
            return await _ask(tls.probe(peer, check), port, check)
        case HttpCheck() | HttpsCheck():
            return await _ask(web.probe(peer, check), port, check)
        case UdpCheck():
            return await udp.probe(peer, check)
        case DnsCheck():
            return await _ask(dns.probe(peer, check), port, check)
        case GrpcCheck():
            return await _ask(grpc.probe(peer, check), port, check)
        case SmtpCheck():
            return await _ask(smtp.probe(peer, check), port, check)
        case IcmpCheck():
            return await _ask(icmp.probe(peer), 0, check)
        case ExecCheck():
            return await program.probe(address, port, check)
        case FileCheck():
            return file.probe(address, port, check)
        case _:
            assert_never(check)


async def _ask(asked: Awaitable[Result], port: int, check: AnyCheck) -> Result:
    """Wait for what the network says, for as long as the check allows."""
    try:
        async with asyncio.timeout(check.timeout):
            return await asked
    except TimeoutError:
        return no_answer(port, check.timeout)
    except OSError as error:
        return of_os_error(error, port)
