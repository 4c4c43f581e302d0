"""Which tags frames of the host's VLAN interfaces have where the program sees them."""

from dataclasses import replace

from control.facts import Interface, Link, Network, Vlan
from control.vlans import find_vlans, vlan_warnings
from dataplane.abi import PORTS, VLANS
from dataplane.records import SERVICE_VLAN, VLAN, Segment, Tag

MAC, OWN_MAC = b"\2\0\0\0\0\1", b"\2\0\0\0\0\2"
ETH0 = Interface("eth0", 2, MAC, "native")
ETH1 = Interface("eth1", 3, MAC, "native")


def link(name: str, index: int, tag: Tag | None = None, lower: int | None = None, **more):
    return Link(name, index, **{"mac": MAC, "is_up": True, **more}, tag=tag, lower=lower)


ETH0_LINK, ETH1_LINK = link("eth0", 2), link("eth1", 3)
BACK = link("eth0.20", 5, Tag(20), 2, mac=OWN_MAC)


def found(*links: Link, attached: tuple[Interface, ...] = (ETH0,)) -> dict[str, Vlan]:
    """Return the VLANs by name."""
    by_index = {each.ifindex: each for each in (ETH0_LINK, ETH1_LINK, *links)}
    vlans = find_vlans(by_index, {each.ifindex: each for each in attached})
    assert all(vlan.ifindex == index for index, vlan in vlans.items())
    return {vlan.name: vlan for vlan in vlans.values()}


def warned(*links: Link, attached: tuple[Interface, ...] = (ETH0,)) -> tuple[str, ...]:
    vlans = {vlan.ifindex: vlan for vlan in found(*links, attached=attached).values()}
    return vlan_warnings(Network(interfaces=attached, vlans=vlans))


def test_a_vlan_is_its_tag_on_the_interface_below() -> None:
    assert found(BACK) == {
        "eth0.20": Vlan("eth0.20", 5, OWN_MAC, "eth0", Segment(2, (Tag(20),)))
    }
    assert warned(BACK) == ()


def test_of_a_vlan_in_a_vlan_the_lower_ones_tag_is_the_outer_one() -> None:
    outer = link("s7", 5, Tag(7, SERVICE_VLAN), 2)
    inner = link("s7.10", 6, Tag(10), 5)

    vlans = found(inner, outer)

    assert vlans["s7"].segment == Segment(2, (Tag(7, SERVICE_VLAN),))
    assert vlans["s7.10"].segment == Segment(2, (Tag(7, SERVICE_VLAN), Tag(10)))


def test_three_tags_are_more_than_the_program_reads() -> None:
    stack = [link(f"v{n}", 4 + n, Tag(n), 3 + n if n > 1 else 2) for n in (1, 2, 3)]

    vlan = found(*stack)["v3"]

    assert vlan.segment is None
    assert vlan.problem == "whose frames have 3 VLAN tags; guideway reads 2"
    assert warned(*stack) == (f"services are not balanced by v3, {vlan.problem}",)


def test_a_vlan_of_an_interface_without_the_program_says_which_that_is() -> None:
    other = link("eth1.20", 5, Tag(20), 3)

    vlan = found(other)["eth1.20"]

    assert vlan.segment is None
    assert vlan.problem == "a VLAN of eth1, which is not among `interfaces`"
    assert warned(other) == ()  # it need not concern us


def test_a_vlan_of_another_namespaces_interface_cannot_be_used() -> None:
    vlan = found(link("eth9.20", 5, Tag(20), None))["eth9.20"]

    assert vlan.segment is None
    assert vlan.problem == "a VLAN of an interface in another network namespace"


def test_a_vlan_that_is_down_is_none() -> None:
    assert found(replace(BACK, is_up=False)) == {}


def test_a_vlan_with_the_program_on_it_is_an_interface_like_others() -> None:
    own = Interface("eth0.20", 5, OWN_MAC, "generic")
    above = link("eth0.20.3", 6, Tag(3), 5)

    vlans = found(BACK, above, attached=(ETH0, own))

    assert set(vlans) == {"eth0.20.3"}
    assert vlans["eth0.20.3"].segment == Segment(5, (Tag(3),))


def test_more_vlans_than_the_maps_hold_are_left_out_and_named() -> None:
    outer = [link(f"s{n}", 10 + n, Tag(n, SERVICE_VLAN), 2) for n in range(1, VLANS)]
    inner = [link(f"s1.{n}", 10 + VLANS + n, Tag(n), 11) for n in (1, 2)]

    vlans = found(*inner, *outer)

    assert [name for name, vlan in vlans.items() if vlan.problem] == ["s1.2"]
    assert warned(*inner, *outer)[0] == (
        f"services are not balanced by s1.2, one VLAN too many: the maps hold {VLANS}"
    )


def test_tags_that_the_driver_takes_off_are_warned_of_where_they_matter() -> None:
    eth0 = replace(ETH0, hides=frozenset({VLAN, SERVICE_VLAN}))
    eth1 = replace(ETH1, hides=frozenset({VLAN}))
    front = link("eth0.10", 6, Tag(10), 2)

    (warning,) = warned(BACK, front, attached=(eth0, eth1))

    assert warning.startswith("eth0 takes the tags of eth0.20, eth0.10 off before XDP")
    assert warning.endswith("`ethtool -K eth0 rxvlan off`")


def test_outer_tags_of_802_1ad_have_a_switch_of_their_own() -> None:
    eth0 = replace(ETH0, hides=frozenset({SERVICE_VLAN}))
    service = link("s7", 6, Tag(7, SERVICE_VLAN), 2)

    (warning,) = warned(BACK, service, attached=(eth0,))

    assert warning.startswith("eth0 takes the tags of s7 off before XDP")
    assert warning.endswith("`ethtool -K eth0 rx-vlan-stag-hw-parse off`")


def test_generic_xdp_does_without_vlans_whose_tags_it_does_not_see() -> None:
    hiding = replace(ETH0, xdp="generic", hides=frozenset({VLAN}))

    seen = found(BACK, attached=(replace(hiding, hides=frozenset()),))["eth0.20"]
    unseen = found(BACK, attached=(hiding,))["eth0.20"]

    assert seen.segment == Segment(2, (Tag(20),))
    assert unseen.segment is None
    (warning,) = warned(BACK, attached=(hiding,))
    assert warning == (
        "services are not balanced by eth0.20, whose tag eth0 hides from generic XDP: put "
        "eth0.20 into `interfaces`, or `ethtool -K eth0 rxvlan off`"
    )


def test_a_vlan_whose_index_falls_together_with_anothers_is_named() -> None:
    far = replace(BACK, ifindex=2 + PORTS)

    (warning,) = warned(far)

    assert warning.startswith("what NAT backends answer by eth0.20 goes through the host")
    assert f"its index {2 + PORTS} falls together with that of eth0" in warning
