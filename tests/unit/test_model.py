"""Services and their backends: a valid one is made, another is not."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from control.checks import TcpCheck
from control.desired import DesiredState
from control.errors import GuidewayError
from control.model import Backend, BackendState, Mode, Protocol, Returns, Service

VIP = IPv4Address("192.0.2.10")
A = Backend("a", IPv4Address("10.0.0.1"), 80)
B = Backend("b", IPv4Address("10.0.0.2"), 80)
WEB = Service("web", VIP, Protocol.TCP, 80, Mode.DR, (A, B))
VIP6 = IPv6Address("2001:db8::10")
A6 = Backend("a", IPv6Address("2001:db8::1"), 80)


def service(**changed: object) -> Service:
    """Return a service like WEB, without backends if it is not said."""
    return replace(WEB, **{"backends": (), **changed})


def backend(**changed: object) -> Backend:
    return replace(A, **changed)


def refusal(make: object) -> str:
    """Return the sentence against what ``make`` makes."""
    assert callable(make)
    with pytest.raises(GuidewayError) as raised:
        make()
    return str(raised.value)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"name": "two words"},
            "service name: 'two words' is not a name: 1…63 letters, digits and any of",
        ),
        (
            {"name": "x" * 64},
            "service name: '" + "x" * 64 + "' is not a name: 1…63 letters",
        ),
        ({"port": -1}, "service 'web': port -1 is not in 0…65535"),
        (
            {"vip": IPv4Address("127.0.0.1")},
            "service 'web': 127.0.0.1 is not an address that a host can have",
        ),
        ({"ring_size": 4096}, "service 'web': ring size 4096 is not a prime number"),
        ({"ring_size": 8388617}, "service 'web': ring size 8388617 is above 8388593"),
        (
            {"ring_size": 2, "backends": (A,) * 3},
            "service 'web': ring size 2 leaves no slot for some of 3 backends",
        ),
        (
            {"backends": (A,) * 65536},
            "service 'web': 65536 backends are more than 65535",
        ),
        ({"port": 0}, "service 'web': a service of every port needs a port in its check"),
        (
            {"checks": (TcpCheck(port=0),)},
            "service 'web', check: port 0 is not in 1…65535",
        ),
        (
            {"checks": (TcpCheck(interval=0),)},
            "service 'web', check: interval 0 s is not in 0.01…3600 s",
        ),
        (
            {"checks": (TcpCheck(timeout=float("nan")),)},
            "service 'web', check: timeout nan s is not in 0.01…3600 s",
        ),
        ({"checks": (TcpCheck(rise=0),)}, "service 'web', check: rise 0 is not in 1…1000"),
        (
            {"checks": (TcpCheck(fall=1001),)},
            "service 'web', check: fall 1001 is not in 1…1000",
        ),
        (
            {"backends": (A, replace(B, name="a"))},
            "service 'web': two backends are called 'a'",
        ),
        (
            {"backends": (A, replace(A, name="b"))},
            (
                "service 'web': backend 'b' has the address 10.0.0.1:80, which another "
                "backend has already"
            ),
        ),
    ],
)
def test_a_service_that_breaks_a_rule_is_refused(
    changed: dict[str, object], sentence: str
) -> None:
    assert refusal(lambda: service(**changed)).startswith(sentence)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"name": ""}, "backend name: '' is not a name: 1…63 letters"),
        ({"weight": 65536}, "service 'web', backend 'a': weight 65536 is not in 0…65535"),
        (
            {"address": IPv4Address("224.0.0.1")},
            "service 'web', backend 'a': 224.0.0.1 is not an address that a host can have",
        ),
        (
            {"address": VIP},
            "service 'web', backend 'a': 192.0.2.10 is the VIP itself; give the server's",
        ),
        (
            {"port": 8080},
            "service 'web', backend 'a': port 8080 differs from the service's 80, and DR",
        ),
    ],
)
def test_a_backend_that_breaks_a_rule_is_refused(
    changed: dict[str, object], sentence: str
) -> None:
    assert refusal(lambda: service(backends=(backend(**changed),))).startswith(sentence)


IMPOSSIBLE = [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "ff02::1",
    "ff0e::1",
]
ONE_LINK = ["fe80::1", "febf::1", "fe80::1%eth0", "2001:db8::1%eth0"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *((text, "is not an address that a host can have") for text in IMPOSSIBLE),
        *(
            (text, "is an address of one link only; give one that counts everywhere")
            for text in ONE_LINK
        ),
        ("::ffff:10.0.0.1", "is IPv4 in the form of IPv6; write 10.0.0.1"),
    ],
)
def test_an_address_that_cannot_be_reached_is_refused(text: str, why: str) -> None:
    address = ip_address(text)
    vip = {4: VIP, 6: VIP6}[address.version]
    member = backend(address=address)

    assert refusal(lambda: service(vip=address)) == f"service 'web': {address} {why}"
    assert refusal(lambda: service(vip=vip, backends=(member,))) == (
        f"service 'web', backend 'a': {address} {why}"
    )


@pytest.mark.parametrize(
    "text", ["10.0.0.9", "1.0.0.0", "223.255.255.255", "2001:db8::9", "fd00::1", "::2"]
)
def test_an_address_that_a_host_can_have_is_accepted(text: str) -> None:
    assert service(vip=ip_address(text)).vip == ip_address(text)


def test_a_service_and_its_backends_are_of_one_family() -> None:
    assert service(vip=VIP6, backends=(A6,)).backends == (A6,)
    assert refusal(lambda: service(vip=VIP6, backends=(A6, replace(A, name="b1")))) == (
        "service 'web', backend 'b1': 10.0.0.1 is IPv4, and the VIP 2001:db8::10 is IPv6: "
        "both have to be of one family"
    )
    assert refusal(lambda: service(backends=(A6,))) == (
        "service 'web', backend 'a': 2001:db8::1 is IPv6, and the VIP 192.0.2.10 is IPv4: "
        "both have to be of one family"
    )


def test_a_port_of_an_ipv6_address_is_written_behind_brackets() -> None:
    web = service(vip=VIP6)

    assert refusal(lambda: DesiredState((web, replace(web, name="web2")))) == (
        "service 'web2': [2001:db8::10]:80/tcp belongs to service 'web' already"
    )
    assert len(DesiredState((WEB, replace(web, name="web6"))).services) == 2


def test_the_identities_that_tables_are_made_of_are_the_same_for_ever() -> None:
    backends = (A, A6, replace(A6, address=IPv6Address("2001:DB8:0:0:1:0:0:A"), port=8080))

    assert [each.identity for each in backends] == [
        "10.0.0.1:80",
        "[2001:db8::1]:80",
        "[2001:db8::1:0:0:a]:8080",
    ]


def test_every_port_of_a_vip_goes_to_every_port_of_a_backend() -> None:
    assert service(port=0, checks=(), backends=(backend(port=0),)).port == 0
    assert service(port=0, checks=(), mode=Mode.NAT, backends=(backend(port=0),)).port == 0
    assert refusal(lambda: service(port=0, checks=(), mode=Mode.NAT, backends=(A,))) == (
        "service 'web', backend 'a': port 0 (every port) goes only with a service and "
        "backends that all have it"
    )
    assert refusal(lambda: service(port=0, checks=(), mode=Mode.DR, backends=(A,))) == (
        "service 'web', backend 'a': port 80 differs from the service's 0, and DR cannot "
        "change ports: use mode nat, or leave the backend's port out"
    )


def test_returns_cannot_be_tracked_where_none_come_by() -> None:
    assert refusal(lambda: service(mode=Mode.DR, returns=Returns.TRACKED)) == (
        "service 'web': returns: tracked goes with mode nat only; by dr no reply comes here"
    )


def test_a_backend_draining_or_without_weight_is_not_in_the_table() -> None:
    assert A.in_table
    assert not backend(weight=0).in_table
    assert not backend(state=BackendState.DRAINING).in_table
