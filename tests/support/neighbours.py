"""Who is on one segment with a node: a client, and a real server for DR."""

from contextlib import ExitStack
from dataclasses import dataclass

from vagrant.lab.hosts import Host, create
from vagrant.lab.segment import Segment
from vagrant.lab.topology import CLIENT, FRONT, hold_vip_silently

NODE = FRONT[11]
SERVER = FRONT[21]


@dataclass(frozen=True)
class Neighbours:
    """Both; nothing runs on them yet, and the server has the VIP."""

    client: Host
    server: Host


def connect(node: Host, prefix: str, cleanup: ExitStack) -> Neighbours:
    """Give ``node`` an interface eth0, and neighbours there."""
    segment = Segment.create("switch", FRONT, prefix, cleanup)
    segment.connect_balancer(node, "eth0", NODE)
    client, server = (create(name, prefix, cleanup) for name in ("client", "rs1"))
    segment.connect(client, "eth0", CLIENT)
    segment.connect(server, "eth0", SERVER)
    hold_vip_silently(server)
    return Neighbours(client, server)
