"""A probe by UDP: the right answer, or at least nobody says that there is none."""

import asyncio

from control.addresses import IpAddress
from control.checks import UdpCheck, payload_bytes, payload_mask
from control.health.datagrams import conversation, udp
from control.health.result import PASSED, Result, no_answer, of_os_error

_SHOWN = 16  # bytes of a wrong answer


async def probe(address: IpAddress, port: int, check: UdpCheck) -> Result:
    """Send a datagram and wait. Raises NoResultError."""
    try:
        with conversation(udp(address), address, port) as peer:
            async with asyncio.timeout(check.timeout):
                await peer.send(payload_bytes(check.payload))
                answer = await peer.receive()
    except TimeoutError:
        return PASSED if check.reply is None else no_answer(port, check.timeout)
    except OSError as error:
        return of_os_error(error, port)
    if check.reply is None or _fits(answer, check.reply):
        return PASSED
    shown = answer[:_SHOWN].hex(" ")
    more = " …" if len(answer) > _SHOWN else ""
    return Result(f"port {port}: it answers {shown}{more}" if answer else "an empty answer")


def _fits(answer: bytes, reply: str) -> bool:
    wanted, mask = payload_bytes(reply), payload_mask(reply)
    return len(answer) >= len(wanted) and all(
        found & bits == byte & bits
        for found, byte, bits in zip(answer, wanted, mask, strict=False)
    )
