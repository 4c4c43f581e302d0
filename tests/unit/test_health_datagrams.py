"""Probes by datagrams: UDP, DNS and ICMP, answered well, wrongly or not at all."""

import asyncio
import socket

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from control.checks import DnsCheck, IcmpCheck, UdpCheck
from control.health import icmp
from control.health.kinds import probe
from control.health.result import PASSED, NoResultError, Result
from tests.support.servers import LOOPBACK, answered

REFUSED = Result("port N: Connection refused")
LATE = Result("no answer from port N within 0.2 s")
PING = UdpCheck(payload="ping", reply="pong", timeout=0.2)


@pytest.mark.parametrize(
    ("reply", "answer", "problem"),
    [
        ("pong", b"pong", ""),
        ("pong", b"pong and more", ""),
        ("pong", b"pon", "port N: it answers 70 6f 6e"),
        ("pong", b"", "an empty answer"),
        ("", b"", ""),
        ("hex:00 ff", b"\0\xff\1", ""),
        ("hex:0XfX", b"\x0a\xf0", ""),
        ("hex:0XfX", b"\x1a\xf0", "port N: it answers 1a f0"),
        ("x", b"y" * 60_000, "port N: it answers " + "79 " * 16 + "…"),
    ],
)
def test_an_answer_has_to_begin_with_what_is_expected(reply, answer, problem) -> None:
    check = UdpCheck(payload="ping", reply=reply)

    assert answered(check, lambda _: [answer]) == Result(problem)


@pytest.mark.parametrize(
    ("payload", "sent"), [("", b""), ("é", b"\xc3\xa9"), ("hex:00 fF10", b"\0\xff\x10")]
)
def test_what_is_sent_is_what_the_check_says(payload, sent) -> None:
    heard = []

    answered(UdpCheck(payload=payload), lambda asked: heard.append(asked) or [b""])

    assert heard == [sent]


def test_without_an_answer_it_depends_on_whether_one_is_needed() -> None:
    assert answered(PING, lambda _: []) == LATE
    assert answered(UdpCheck(timeout=0.2), lambda _: []) == PASSED


@pytest.mark.parametrize("check", [PING, UdpCheck(timeout=5), DnsCheck(timeout=5)])
def test_who_says_that_nobody_is_there_is_believed(check) -> None:
    assert answered(check, None) == REFUSED


def response(asked: bytes, *records: str, rcode: str = "NOERROR") -> dns.message.Message:
    made = dns.message.make_response(dns.message.from_wire(asked))
    made.set_rcode(dns.rcode.from_text(rcode))
    made.answer = [dns.rrset.from_text(*record.split(maxsplit=4)) for record in records]
    return made


A = DnsCheck(name="www.example", record="A", timeout=5)


@pytest.mark.parametrize(
    ("check", "records", "rcode", "problem"),
    [
        (A, ["www.example. 9 IN A 192.0.2.7"], "NOERROR", ""),
        (A, [], "NOERROR", ""),
        (A, [], "SERVFAIL", "it answers SERVFAIL"),
        (DnsCheck(rcode="REFUSED"), [], "REFUSED", ""),
        (DnsCheck(rcode="NXDOMAIN"), [], "NOERROR", "it answers NOERROR"),
    ],
)
def test_an_answer_has_to_have_the_rcode(check, records, rcode, problem) -> None:
    serve = lambda asked: [response(asked, *records, rcode=rcode).to_wire()]  # noqa: E731

    assert answered(check, serve) == Result(problem)


@pytest.mark.parametrize(
    ("record", "wanted", "records", "problem"),
    [
        ("A", "192.0.2.7", ["w. 9 IN A 192.0.2.6", "w. 9 IN A 192.0.2.7"], ""),
        ("A", "192.0.2.7", ["w. 9 IN A 192.0.2.6"], "it answers 192.0.2.6"),
        ("A", "192.0.2.7", ["w. 9 IN CNAME v."], "it answers no address"),
        ("A", "192.0.2.7", ["w. 9 HS A \\# 4 c0000207"], "it answers no address"),
        ("AAAA", "2001:DB8:0::7", ["w. 9 IN AAAA 2001:db8::7"], ""),
    ],
)
def test_the_expected_address_has_to_be_among_the_answers(
    record, wanted, records, problem
) -> None:
    check = DnsCheck(name="w", record=record, address=wanted)

    assert answered(check, lambda asked: [response(asked, *records).to_wire()]) == Result(
        problem
    )


def other_id(asked: bytes) -> bytes:
    return bytes([asked[0] ^ 1]) + response(asked).to_wire()[1:]


def test_an_answer_with_another_id_is_not_heard() -> None:
    late = DnsCheck(timeout=0.2)

    assert answered(late, lambda asked: [other_id(asked)]) == LATE
    both = answered(A, lambda asked: [other_id(asked), response(asked).to_wire()])
    assert both == PASSED


def test_who_answers_other_questions_all_the_time_fails() -> None:
    strays = answered(A, lambda asked: [other_id(asked)] * 16)

    assert strays == Result("port N: its answers are to other questions")


def test_an_answer_to_another_question_is_not_heard() -> None:
    def serve(asked: bytes) -> list[bytes]:
        made = response(asked)
        made.question = dns.message.make_query("evil.example", "A").question
        return [made.to_wire()]

    assert answered(DnsCheck(name="a.example", timeout=0.2), serve) == LATE


def test_an_answer_from_another_address_is_not_heard() -> None:
    async def scenario() -> Result:
        loop = asyncio.get_running_loop()
        with udp("127.0.0.1") as server, udp("127.0.0.2") as other:
            port = server.getsockname()[1]
            probing = asyncio.create_task(probe(LOOPBACK, port, DnsCheck(timeout=0.2)))
            asked, client = await loop.sock_recvfrom(server, 4096)
            await loop.sock_sendto(other, response(asked).to_wire(), client)
            result = await probing
        return Result(result.problem.replace(str(port), "N"))

    assert asyncio.run(scenario()) == LATE


def udp(address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((address, 0))
    opened.setblocking(False)  # noqa: FBT003
    return opened


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0", bytes(12), b"\xff" * 4096, b"\xc0\x0c" * 600],
    ids=["empty", "one byte", "zeros", "ones", "pointers in a circle"],
)
def test_an_answer_that_is_not_dns_fails(answer) -> None:
    def serve(asked: bytes) -> list[bytes]:
        return [asked[:2] + answer]

    result = answered(DnsCheck(timeout=0.2), serve)

    assert result in (LATE, Result("port N: its answer is not DNS"))


def test_a_truncated_answer_says_nothing_of_addresses() -> None:
    def serve(asked: bytes) -> list[bytes]:
        made = response(asked)
        made.flags |= dns.flags.TC
        return [made.to_wire()]

    check = DnsCheck(name="w", record="A", address="192.0.2.7")
    assert answered(check, serve) == Result("it answers no address")
    assert answered(A, serve) == PASSED


def test_without_the_right_to_ping_nothing_is_said_of_the_backend(monkeypatch) -> None:
    async def scenario() -> None:
        def refuse(*_: object) -> socket.socket:
            raise PermissionError

        monkeypatch.setattr(icmp.socket, "socket", refuse)
        await probe(LOOPBACK, 0, IcmpCheck())

    with pytest.raises(NoResultError, match="CAP_NET_RAW"):
        asyncio.run(scenario())
