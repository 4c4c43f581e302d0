"""A probe by DNS over UDP: the answer is to the question, and is the right one."""

import socket
from ipaddress import ip_address
from typing import Final

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from control.checks import DnsCheck
from control.health.datagrams import conversation
from control.health.peer import Peer
from control.health.result import PASSED, Result

_MAX_STRAYS: Final = 16  # answers to something else; whoever sends more is not well


async def probe(peer: Peer, check: DnsCheck) -> Result:
    """Send the query and judge the answer; raises OSError, NoResultError."""
    query = dns.message.make_query(check.name, check.record)
    with conversation(peer.open(socket.SOCK_DGRAM), peer) as line:
        await line.send(query.to_wire())
        for _ in range(_MAX_STRAYS):
            try:
                answer = dns.message.from_wire(await line.receive())
            except (dns.exception.DNSException, ValueError):
                return Result(f"port {peer.port}: its answer is not DNS")
            # One with another id is an attempt to deceive, or late: go on waiting.
            if query.is_response(answer):
                return _judge(answer, check)
    return Result(f"port {peer.port}: its answers are to other questions")


def _judge(answer: dns.message.Message, check: DnsCheck) -> Result:
    rcode = dns.rcode.to_text(answer.rcode())
    if rcode != check.rcode:
        return Result(f"it answers {rcode}")
    if check.address is None:
        return PASSED
    # Records of other classes than IN have no address, whatever their type.
    found = {
        ip_address(rdata.address)
        for rrset in answer.answer
        if rrset.rdtype == dns.rdatatype.from_text(check.record)
        for rdata in rrset
        if isinstance(rdata, A | AAAA)
    }
    if ip_address(check.address) in found:
        return PASSED
    shown = ", ".join(sorted(map(str, found))[:4])
    return Result(f"it answers {shown or 'no address'}")
