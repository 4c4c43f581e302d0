"""The MAC of a virtual router, RFC 9568, 7.3, and where addresses are that go with it.

No kernel here: this is what :mod:`vrrp.station` makes of the host.
"""

from dataclasses import replace
from typing import Final

from vrrp.instance import Instance, VirtualAddress
from vrrp.packet import IPV4

_PREFIX: Final = bytes.fromhex("00005e00")  # IANA's
_BY_FAMILY: Final = {True: 1, False: 2}  # is it IPv4?


def mac_of(instance: Instance) -> bytes:
    """Return 00:00:5e:00:01:VRID, or over IPv6 00:00:5e:00:02:VRID."""
    family = _BY_FAMILY[instance.dialect.family == IPV4]
    return _PREFIX + bytes((family, instance.router.vrid))


def name_of(instance: Instance, index: int) -> str:
    """Return how the macvlan on the interface with that index is called.

    VRIDs are unique on an interface only, whose name would be too long for a part of this.
    """
    family = 4 if instance.dialect.family == IPV4 else 6
    return f"vr{family}-{instance.router.vrid}-{index}"


def moved(instance: Instance, name: str) -> tuple[VirtualAddress, ...]:
    """Return the instance's addresses, those of its interface on the macvlan ``name``."""
    return tuple(
        replace(each, interface=name, routed=False)
        if each.interface == instance.interface
        else each
        for each in instance.addresses
    )
