"""What an operator is told to mend."""

from control.advice import NO_SEED, merge_warnings, waiting_warnings
from control.config import parse
from control.facts import Interface, Network
from control.network import with_features

MAC = b"\2\0\0\0\0\1"


def warned(*features: str, xdp: str) -> tuple[str, ...]:
    eth0 = with_features(Interface("eth0", 3, MAC, xdp), features)
    return merge_warnings(Network((eth0,)))


def test_services_that_wait_for_room_are_named_the_first_of_them() -> None:
    assert waiting_warnings(frozenset()) == ()
    (few,) = waiting_warnings({"b", "a"})
    assert few.startswith(
        "the maps have no room for new beside old: a, b wait for what goes"
    )
    (many,) = waiting_warnings({f"s{number}" for number in range(9)})
    assert ": s0, s1, s2, s3 and 5 more wait for" in many


def test_a_card_that_merges_packets_before_generic_xdp_sees_them_is_warned_of() -> None:
    (warning,) = warned("rx-gro-hw", "rx-lro", "rx-gro", xdp="generic")

    assert warning == (
        "eth0 runs in generic mode and merges packets: what is then longer than the MTU is "
        "lost: `ethtool -K eth0 lro off rx-gro-hw off`"
    )


def test_merging_by_the_kernel_or_where_xdp_is_native_does_no_harm() -> None:
    assert warned("rx-gro", xdp="generic") == ()  # the kernel leaves it out by itself
    assert warned("rx-gro-hw", xdp="native") == ()


def test_the_seed_as_the_advice_makes_it_is_one_that_the_file_may_have() -> None:
    assert '`echo "hash_seed: 0x$(openssl rand -hex 4)"`' in NO_SEED

    config, _ = parse("interfaces: [eth0]\nservices: []\nhash_seed: 0xfedcba98\n", "x")

    assert config.hash_seed == 0xFEDCBA98
