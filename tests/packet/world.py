"""Maps with a service of every sort in both families, for generated packets to go to.

Each family has a VIP with a service at each port of ``PORTS``, for TCP and UDP alike, and
others that serve every port.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from dataplane.image import Ring
from dataplane.records import (
    AFFINITY_ALWAYS,
    AFFINITY_NONE,
    AFFINITY_TRANSITION,
    HASH_FLOW,
    HASH_SOURCE,
    MODE_DR,
    MODE_NAT,
    SERVICE_VLAN,
    Address,
    Backend,
    Endpoint,
    Index,
    Prefix,
    Return,
    Segment,
    Service,
    Tag,
)
from tests.packet.balancer import (
    BACKEND_MACS,
    BALANCER_MAC,
    LO,
    OUT,
    OUT_MAC,
    ROUTER_MAC,
    VLANS,
    Balancer,
    mac,
)
from tests.packet.families import V4, V6, Family
from tests.packet.model import Model, NextHop

# VIPs with one service each, of every port.
SECOND_VIP = {4: "198.51.100.2", 6: "2001:db8:f::2"}
NAT_VIP = {4: "198.51.100.3", 6: "2001:db8:f::3"}
TRACKED_VIP = {4: "198.51.100.4", 6: "2001:db8:f::4"}
DIRECT = {4: "10.0.0.0/30", 6: "2001:db8:2::/125"}  # holds Family.own
IDLE_SECONDS = 50
MTU = 1500


class Sort(NamedTuple):
    """A sort of service."""

    mode: int
    backends: tuple[int, ...]  # places in Family.backends
    ring: tuple[tuple[int, int], ...]  # of each slot, who has it and who had it before
    affinity: int = AFFINITY_NONE
    hash: int = HASH_FLOW
    backend_port: int | None = None
    ifindex: int = LO
    tracked_until: int | None = None  # ns; flows are written down
    tags: tuple[Tag, ...] = ()  # of the backends' VLAN


# In a ring, the backends of the service; all other numbers are ids.
A, B, C = -1, -2, -3
NOBODY, GONE = NO_BACKEND_ID, 200

ALWAYS = 2**64 - 1  # ns
# The VLANs that the host has interfaces for; the first one has a MAC of its own.
VLAN, STACKED = (Tag(5),), (Tag(7, SERVICE_VLAN), Tag(5))
VLAN_MAC = "02:00:00:00:00:05"
DEAD = 4  # the place of a backend that is down
PORTS = {
    80: Sort(MODE_DR, (0, 1), ((A, 0), (B, 0), (A, 0))),
    81: Sort(MODE_NAT, (0, 1), ((B, 0), (A, 0), (B, 0)), backend_port=8080),
    82: Sort(MODE_DR, (), ()),
    83: Sort(
        MODE_DR,
        (2, 3, DEAD),
        (
            (A, B),
            (B, A),
            (A, RECORDS_ONLY),
            (B, C),
            (A, GONE),
            (GONE, 0),
            (GONE, A),
            (NOBODY, 0),
            (NOBODY, A),
        ),
        AFFINITY_TRANSITION,
    ),
    84: Sort(
        MODE_NAT,
        (5, 6),
        ((A, B), (B, RECORDS_ONLY), (B, 0)),
        AFFINITY_ALWAYS,
        HASH_SOURCE,
        backend_port=8084,
        ifindex=OUT,
    ),
    85: Sort(MODE_NAT, (7,), ((A, 0),), AFFINITY_ALWAYS),
    86: Sort(MODE_NAT, (6,), ((A, 0),), backend_port=8086, tracked_until=0),
    89: Sort(MODE_DR, (0,), ((A, 0),), tags=VLAN),
    90: Sort(MODE_NAT, (1,), ((A, 0),), backend_port=8090, tags=STACKED),
    # These share a backend.
    87: Sort(MODE_NAT, (7,), ((A, 0),), backend_port=8087, tracked_until=ALWAYS),
    88: Sort(MODE_NAT, (7,), ((A, 0),), backend_port=8087, tracked_until=ALWAYS),
}
EVERY_PORT = (
    (SECOND_VIP, Sort(MODE_DR, (0, 1), ((A, 0), (B, 0)))),
    (NAT_VIP, Sort(MODE_NAT, (2, 3), ((A, 0), (B, 0)))),
    # Its backend serves port 8084 for another service, too.
    (TRACKED_VIP, Sort(MODE_NAT, (5,), ((A, 0),), tracked_until=0)),
)


@dataclass
class World:
    """The tables, filled service by service."""

    tables: dict[str, dict] = field(
        default_factory=lambda: {
            "backends": {},
            "rings": {},
            "vips": {},
            "services": {},
            "returns": {},
            "direct": {},
        }
    )
    slots: int = 0

    def add(self, family: Family, vip: str, at: int, protocol: int, sort: Sort) -> None:
        number, first = len(self.tables["services"]), 1 + len(self.tables["backends"])
        for place in sort.backends:
            address, to_port = ip_address(family.backends[place]), sort.backend_port or at
            self.tables["backends"][Index(1 + len(self.tables["backends"]))] = Backend(
                number,
                address,
                to_port,
                Segment(sort.ifindex, sort.tags),
                mac(BACKEND_MACS[place]),
                mac(BALANCER_MAC if sort.ifindex == LO else OUT_MAC),
                is_down=place == DEAD,
                is_tracked=sort.tracked_until is not None,
            )
            if sort.mode == MODE_NAT:
                self.tables["returns"].setdefault(
                    Endpoint(address, to_port, protocol),
                    Return(
                        ip_address(vip),
                        at,
                        is_tracked=sort.tracked_until is not None,
                        until_ns=sort.tracked_until or 0,
                    ),
                )
        owners = [[first - 1 - i if i < 0 else i for i in slot] for slot in sort.ring]
        ring = Ring.of((now for now, _ in owners), (before for _, before in owners))
        if ring:
            self.tables["rings"][self.slots] = ring
        self.tables["vips"][Address(ip_address(vip))] = Index(1)
        self.tables["services"][Endpoint(ip_address(vip), at, protocol)] = Service(
            number,
            self.slots,
            len(ring),
            0xC0FFEE + number,
            sort.mode,
            sort.affinity,
            sort.hash,
            IDLE_SECONDS,
            is_watched=bool(number % 4),  # it makes no packet go elsewhere
        )
        self.slots += len(ring)


def make(balancer: Balancer) -> Model:
    """Fill the maps; return the model of them."""
    world = World()
    vlans = ((VLAN, VLAN_MAC), (STACKED, BALANCER_MAC))
    for ifindex, (tags, address) in zip(VLANS, vlans, strict=True):
        balancer.add_vlan(ifindex, *tags, address=address)
    for family in (V4, V6):
        for protocol in (6, 17):
            for at, sort in PORTS.items():
                world.add(family, family.vip, at, protocol, sort)
            for vips, sort in EVERY_PORT:
                world.add(family, vips[family.version], 0, protocol, sort)
        world.tables["direct"][Prefix(ip_network(DIRECT[family.version]))] = Index(1)
    balancer.fill(**world.tables)
    hop = NextHop(OUT, mac(ROUTER_MAC), mac(OUT_MAC), MTU)
    clients = (ip_address(family.client).packed for family in (V4, V6))
    return Model(balancer.image, LO, dict.fromkeys(clients, hop))
