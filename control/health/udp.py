"""A probe by UDP: the right answer, or at least nobody says that there is none."""

import asyncio
import socket

from control.checks import UdpCheck
from control.health.datagrams import conversation
from control.health.peer import Peer
from control.health.result import PASSED, Result, no_answer, of_os_error
from control.payloads import payload_bytes, payload_mask

_SHOWN = 16  # bytes of a wrong answer


async def probe(peer: Peer, check: UdpCheck) -> Result:
    """Send a datagram and wait. Raises NoResultError."""
    try:
        with conversation(peer.open(socket.SOCK_DGRAM), peer) as line:
            async with asyncio.timeout(check.timeout):
                await line.send(payload_bytes(check.payload))
                answer = await line.receive()
    except TimeoutError:
        return PASSED if check.reply is None else no_answer(peer.port, check.timeout)
    except OSError as error:
        return of_os_error(error, peer.port)
    if check.reply is None or _fits(answer, check.reply):
        return PASSED
    if not answer:
        return Result("an empty answer")
    shown = answer[:_SHOWN].hex(" ")
    more = " …" if len(answer) > _SHOWN else ""
    return Result(f"port {peer.port}: it answers {shown}{more}")


def _fits(answer: bytes, reply: str) -> bool:
    wanted, mask = payload_bytes(reply), payload_mask(reply)
    return len(answer) >= len(wanted) and all(
        found & bits == byte & bits
        for found, byte, bits in zip(answer, wanted, mask, strict=False)
    )
