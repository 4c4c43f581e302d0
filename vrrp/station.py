"""What an Active with a virtual MAC needs of its host besides addresses. Blocking.

Two things answer to that MAC: the data plane, and the host by a macvlan. When the role
changes, a frame must never get to the host with the address still there and no data plane
before it: the host knows nothing of the connection and would reset it. Hence the order:
the data plane first when we take, and last when we let go.
"""

from typing import Any

from vrrp import macvlan, stations
from vrrp.addresses import hold, release
from vrrp.instance import Instance, VirtualAddress
from vrrp.links import read_link
from vrrp.packet import IPV4
from vrrp.virtual_mac import mac_of, moved, name_of


def settle(
    ip: Any, instance: Instance, *, held: bool
) -> tuple[tuple[VirtualAddress, ...], tuple[VirtualAddress, ...]]:
    """Make addresses and MAC what they should be; return addresses added and removed.

    Raises OSError or NetlinkError.
    """
    below = read_link(ip, instance.interface)
    if below is None:  # and so there is nothing of ours on it
        wanted = instance.addresses
        return (hold(ip, wanted), ()) if held else ((), release(ip, wanted))
    name, mac = name_of(instance, below.index), mac_of(instance)
    if held and instance.virtual_mac:
        wanted = moved(instance, name)
        stations.admit(instance.pins, below.index, mac)
        six = any(each.address.version != IPV4 for each in wanted)
        macvlan.ensure(ip, instance.interface, below.index, name, mac, six=six)
        added = hold(ip, wanted)
        # A run that was killed may have had them on the interface itself.
        release(ip, set(instance.addresses).difference(wanted))
        return added, ()
    added = hold(ip, instance.addresses) if held else ()
    removed = () if held else release(ip, (*moved(instance, name), *instance.addresses))
    if macvlan.remove(ip, instance.interface, name) or instance.virtual_mac:
        stations.dismiss(instance.pins, below.index, mac)
    return added, removed


def placed(ip: Any, instance: Instance) -> tuple[VirtualAddress, ...]:
    """Return the instance's addresses and where they are while it is Active."""
    below = read_link(ip, instance.interface) if instance.virtual_mac else None
    if below is None:
        return instance.addresses
    return moved(instance, name_of(instance, below.index))
