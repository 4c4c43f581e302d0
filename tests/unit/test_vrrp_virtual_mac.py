"""What a virtual MAC makes of an instance, and of its advertisements."""

import re
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vrrp import VRRPv3

from dataplane.abi import ffi
from vrrp.config import parse
from vrrp.errors import ConfigError
from vrrp.frame import frame
from vrrp.instance import Instance
from vrrp.machine import Config
from vrrp.packet import GROUP, GROUP6, Advertisement, Dialect
from vrrp.stations import admit
from vrrp.virtual_mac import mac_of, moved, name_of

MAC = bytes.fromhex("00005e000133")
V4 = "addresses: [10.0.0.100/32, {address: 10.20.0.1/24, interface: eth1}]"
V6 = 'addresses: ["fe80::33/64"]'


def instance(more: str, addresses: str = V4) -> Instance:
    text = f"instances: [{{name: a, interface: eth0, vrid: 51, {addresses}, {more}}}]"
    (parsed,) = parse(text, "vrrp.yaml").instances
    return parsed


@pytest.mark.parametrize(
    ("addresses", "mac", "name"),
    [
        (V4, "00:00:5e:00:01:33", "vr4-51-7"),
        (V6, "00:00:5e:00:02:33", "vr6-51-7"),
    ],
)
def test_mac_and_interface_tell_family_and_vrid(
    addresses: str, mac: str, name: str
) -> None:
    made = instance("virtual_mac: true", addresses)

    assert mac_of(made).hex(":") == mac
    assert name_of(made, 7) == name


def test_only_addresses_of_the_instances_interface_move_to_the_macvlan() -> None:
    first, second = moved(instance("virtual_mac: true"), "vr4-51-7")

    assert (first.interface, first.routed) == ("vr4-51-7", False)
    assert (second.interface, second.routed) == ("eth1", True)


def test_another_mac_is_another_instance_that_starts_anew() -> None:
    assert instance("virtual_mac: true").core != instance("virtual_mac: false").core


def test_advertisements_bear_the_virtual_mac_unless_said_otherwise() -> None:
    own = "virtual_mac: true, advertise_mac: own, announce: {refresh: 60}"

    assert instance("virtual_mac: true").advertise_mac
    assert not instance(own).advertise_mac
    assert not instance("priority: 100").advertise_mac


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("virtual_mac: 1", "Expected `bool`, got `int`"),
        ("advertise_mac: own", "`advertise_mac` goes with `virtual_mac` only"),
        ("virtual_mac: true, priority: 255", "`virtual_mac` does not go with priority 255"),
        ('virtual_mac: true, peers: ["10.0.0.2"]', "needs `refresh` in `announce`"),
        ("virtual_mac: true, advertise_mac: own", "needs `refresh` in `announce`"),
        ("virtual_mac: true, advertise_mac: x", "Invalid enum value 'x'"),
    ],
)
def test_a_mistake_is_told_with_its_place(more: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)) as caught:
        instance(more)

    assert ": instances[0] (" in str(caught.value)


def test_pins_have_to_be_an_absolute_path() -> None:
    text = f"pins: here\ninstances: [{{name: a, interface: eth0, vrid: 51, {V4}}}]"

    with pytest.raises(ConfigError, match="`pins` is 'here', but has to be the absolute"):
        parse(text, "vrrp.yaml")


@pytest.mark.parametrize(
    ("source", "group", "to"),
    [
        ("10.0.0.1", GROUP, "01:00:5e:00:00:12"),
        ("fe80::1", GROUP6, "33:33:00:00:00:12"),
    ],
)
def test_a_frame_is_what_the_kernel_would_send_but_for_its_source(
    source: str, group, to: str
) -> None:
    router = Config(51, (ip_address(source),))
    dialect = Dialect(family=group.version)
    said = Advertisement(router.vrid, 100, 1.0, router.addresses)
    message = dialect.pack(said, ip_address(source), group)

    found = Ether(frame(MAC, ip_address(source), group, message))

    assert (found.src, found.dst) == (MAC.hex(":"), to)
    layer = found[IP] if IP in found else found[IPv6]
    assert (layer.src, layer.dst) == (source, str(group))
    assert bytes(layer.payload) == message
    if IP in found:
        assert (layer.ttl, layer.proto, layer.tos, layer.id) == (255, 112, 0xC0, 0)
        unsigned = layer.copy()
        del unsigned.chksum
        assert IP(bytes(unsigned)).chksum == layer.chksum
        assert found[VRRPv3].vrid == router.vrid
    else:
        assert (layer.hlim, layer.nh, layer.tc, layer.fl) == (255, 112, 0xC0, 0)


def test_the_data_plane_and_vrrp_mean_the_same_by_a_station() -> None:
    key = struct.pack("@I6sH", 7, MAC, 0)
    station = ffi.from_buffer("struct gw_station *", key)

    assert len(key) == ffi.sizeof("struct gw_station")
    assert (station.ifindex, bytes(ffi.buffer(station.mac))) == (7, MAC)


def test_where_no_data_plane_is_pinned_there_is_nobody_to_tell(tmp_path: Path) -> None:
    admit(tmp_path, 7, MAC)
    admit(tmp_path / "nowhere", 7, MAC)


def test_what_is_no_map_is_an_error_that_names_it(tmp_path: Path) -> None:
    place = tmp_path / "lb1" / "7-0" / "stations"
    place.parent.mkdir(parents=True)
    place.write_text("")

    with pytest.raises(OSError, match=str(place)):
        admit(tmp_path, 7, MAC)
