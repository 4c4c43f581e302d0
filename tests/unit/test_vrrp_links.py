"""From which address of its interface an instance advertises, by what the kernel says."""

from dataclasses import dataclass
from ipaddress import ip_address
from socket import AF_INET6

import pytest

from vrrp.config import parse
from vrrp.links import read_footing

DEPRECATED = 0x20  # IFA_F_DEPRECATED of linux/if_addr.h
UNICAST = """
instances:
  - name: six
    interface: eth0
    vrid: 51
    addresses: ["fe80::33/64", "2001:db8::77/128"]
    peers: ["2001:db8::12"]
"""


@dataclass
class Kernel:
    """An interface eth0 with these addresses, as pyroute2 tells of it."""

    flags: dict[str, int]  # of each address

    def link(self, _command: str, **_by: object) -> list[dict[str, object]]:
        return [{"index": 2, "flags": 0x41, "address": "", "ifi_type": 1}]

    def addr(self, _command: str, **by: object) -> list[dict[str, object]]:
        assert by == {"index": 2, "family": AF_INET6}
        return [{"IFA_ADDRESS": each, "flags": self.flags[each]} for each in self.flags]


@pytest.mark.parametrize(
    ("flags", "chosen"),
    [
        ({"2001:db8::100": DEPRECATED, "2001:db8::11": 0}, "2001:db8::11"),
        ({"2001:db8::11": 0, "2001:db8::100": DEPRECATED}, "2001:db8::11"),
        ({"2001:db8::77": 0, "2001:db8::11": DEPRECATED}, "2001:db8::11"),
    ],
    ids=["after a deprecated one", "before one", "deprecated, but the only one"],
)
def test_it_advertises_from_an_address_that_stays(
    flags: dict[str, int], chosen: str
) -> None:
    instance = parse(UNICAST, "vrrp.yaml").instances[0]

    assert read_footing(Kernel(flags), instance).address == ip_address(chosen)
