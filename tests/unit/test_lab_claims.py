"""The demo's claims hold when the figures say so, and fail when they do not."""

from scapy.layers.inet import ICMP, IP, TCP

from vagrant.demo import claims
from vagrant.demo.request import Request
from vagrant.demo.witness import connecting_port

WEIGHTS = {"b1": 3, "b2": 2, "b3": 1}


def answered(backend: str, started: float = 0.0) -> Request:
    return Request(started, started + 0.01, 1000, backend)


def failed(started: float, ended: float, port: int = 1000) -> Request:
    return Request(started, ended, port, None, "refused")


def test_every_request_has_to_be_answered():
    assert claims.all_answered([answered("b1")] * 10).held
    assert not claims.all_answered([answered("b1")] * 9 + [failed(0, 1)]).held


def test_shares_may_be_off_by_six_points():
    def claim(*counts: int) -> claims.Claim:
        answers = zip(WEIGHTS, counts, strict=True)
        requests = [answered(name) for name, count in answers for _ in range(count)]
        return claims.shares_follow_weights(requests, WEIGHTS)

    assert claim(50, 33, 17).held
    assert claim(55, 30, 15).held
    assert not claim(57, 28, 15).held
    assert claim(50, 33, 17).measured.startswith("b1 50.0 % (of 50.0)")


def test_failures_belong_to_the_dead_backend_and_to_its_last_moments():
    def held(request: Request, given_to: str | None = "b1") -> bool:
        requests = [answered("b2"), request]
        return claims.only_the_dead_backend_fails(
            requests, "b1", lambda _: given_to, killed=10.0, out=11.0
        ).held

    assert held(failed(10.5, 10.6))
    assert held(failed(9.9, 10.1))  # was being answered when its server died
    assert not held(failed(10.5, 10.6), given_to="b2")
    assert not held(failed(10.5, 10.6), given_to=None)
    assert not held(failed(11.1, 11.2))  # after it was out
    assert not held(failed(9.0, 9.1))  # before it died


def test_what_was_never_seen_did_not_happen_in_time():
    assert claims.out_soon("b1", 0.5).held
    assert not claims.out_soon("b1", None).held
    assert claims.out_soon("b1", None).measured == "never seen"


def test_a_backend_that_is_back_may_break_no_request():
    requests = [answered("b1")] * 198

    assert claims.back_soon("b1", 0.3, requests).held
    assert not claims.back_soon("b1", 0.3, [*requests, failed(1, 2)]).held
    assert not claims.back_soon("b1", None, requests).held


def test_the_vip_has_to_answer_soon_and_then_always():
    requests = [failed(10.1, 11.1), answered("b1", 10.4), answered("b2", 10.5)]

    late = 10.0 + claims.TAKEN_OVER_WITHIN + 0.1
    assert claims.taken_over_soon(requests, off=10.0, answered=10.4).held
    assert not claims.taken_over_soon(requests, off=10.0, answered=late).held
    assert claims.none_fails_afterwards(requests, 10.4).held
    assert not claims.none_fails_afterwards([*requests, failed(10.6, 11.6)], 10.4).held
    assert not claims.none_fails_afterwards(requests, None).held


def test_a_download_has_to_be_complete_and_equal():
    def held(received: int, digest: str, error: str = "") -> bool:
        claim = claims.download_is_whole(
            received, 100, digest=digest, wanted="abc", error=error
        )
        return claim.held

    assert held(100, "abc")
    assert not held(99, "abc")
    assert not held(100, "abd")
    assert not held(100, "abc", "timed out")


def test_the_witness_counts_only_first_packets_of_the_client():
    def port(packet: IP) -> int | None:
        return connecting_port(bytes(packet))

    client, vip = "10.0.0.10", "10.0.0.100"
    assert port(IP(src=client, dst=vip) / TCP(sport=5555, dport=80, flags="S")) == 5555
    assert port(IP(src=client, dst=vip) / TCP(sport=5555, dport=80, flags="A")) is None
    assert port(IP(src=client, dst=vip) / TCP(sport=5555, dport=80, flags="SA")) is None
    assert port(IP(src="10.0.0.11", dst=vip) / TCP(sport=5555, flags="S")) is None
    assert port(IP(src=client, dst=vip) / ICMP()) is None
