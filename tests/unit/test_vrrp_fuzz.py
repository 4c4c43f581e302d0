"""Nothing that arrives disturbs guideway-vrrpd; `make fuzz-vrrp` tries for longer."""

from tests.support.vrrp_fuzzer import Fuzzer
from vrrp.errors import Fault


def test_every_damaged_packet_is_discarded_or_heeded_and_every_reason_occurs() -> None:
    fuzzer = Fuzzer(seed=8)
    ways = len(fuzzer.corpus)

    for _ in range(1500):
        fuzzer.step()

    assert [fault for fault in Fault if not fuzzer.faults[fault]] == []
    assert fuzzer.admitted > 100
    assert len(fuzzer.corpus) > ways
