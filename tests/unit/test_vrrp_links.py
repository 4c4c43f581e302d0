"""From which address of its interface an instance advertises, by what the kernel says."""

from ipaddress import ip_address
from socket import AF_INET6

import pytest

from vrrp.config import parse
from vrrp.links import read_footing
from vrrp.present import Present

UNICAST = """
instances:
  - name: six
    interface: eth0
    vrid: 51
    addresses: ["fe80::33/64", "2001:db8::77/128"]
    peers: ["2001:db8::12"]
"""


class Kernel:
    """An interface eth0, as pyroute2 tells of it."""

    def link(self, _command: str, **_by: object) -> list[dict[str, object]]:
        return [{"index": 2, "flags": 0x41, "address": "", "ifi_type": 1}]


@pytest.mark.parametrize(
    ("deprecated", "chosen"),
    [
        ({"2001:db8::100": True, "2001:db8::11": False}, "2001:db8::11"),
        ({"2001:db8::11": False, "2001:db8::100": True}, "2001:db8::11"),
        ({"2001:db8::77": False, "2001:db8::11": True}, "2001:db8::11"),
    ],
    ids=["after a deprecated one", "before one", "deprecated, but the only one"],
)
def test_it_advertises_from_an_address_that_stays(
    deprecated: dict[str, bool], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(index: int, family: int) -> list[Present]:
        assert (index, family) == (2, AF_INET6)
        return [
            Present(ip_address(each).packed, 64, 0, so) for each, so in deprecated.items()
        ]

    monkeypatch.setattr("vrrp.present.read", read)
    instance = parse(UNICAST, "vrrp.yaml").instances[0]

    assert read_footing(Kernel(), instance).address == ip_address(chosen)
