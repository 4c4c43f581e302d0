"""The file of guideway-vrrpd, and the sentences an operator gets about it."""

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.damaged import damaged_texts
from vrrp import machine
from vrrp.checks import (
    Check,
    DataPlaneProbe,
    FileProbe,
    InterfaceProbe,
    ProcessProbe,
    ScriptProbe,
)
from vrrp.config import load, parse
from vrrp.errors import ConfigError
from vrrp.instance import DaemonConfig, Instance, VirtualAddress
from vrrp.notify import Program
from vrrp.packet import Dialect
from vrrp.tracking import Track

WHOLE = """
status_file: /run/example/status.json
instances:
  - name: front
    interface: eth0
    vrid: 51
    priority: 150
    interval: 0.1
    preempt: false
    addresses:
      - 10.0.0.100/32
      - {address: 10.20.0.1/24, interface: eth1}
"""
SHORTEST = """
instances:
  - {name: front, interface: eth0, vrid: 51, addresses: [10.0.0.100]}
"""


def with_instance(**changes: object) -> str:
    """Return a file with one instance, in JSON, which is YAML as well."""
    instance = {"name": "a", "interface": "eth0", "vrid": 1, "addresses": ["10.0.0.1/32"]}
    return f"instances: [{json.dumps({**instance, **changes})}]"


def test_a_whole_file_says_everything() -> None:
    addresses = (
        VirtualAddress(IPv4Interface("10.0.0.100/32"), "eth0"),
        VirtualAddress(IPv4Interface("10.20.0.1/24"), "eth1"),
    )
    router = machine.Config(
        vrid=51,
        addresses=(IPv4Address("10.0.0.100"), IPv4Address("10.20.0.1")),
        priority=150,
        interval=0.1,
        preempt=False,
    )

    config = parse(WHOLE, "vrrp.yaml")

    assert config == DaemonConfig(
        Path("/run/example/status.json"), (Instance("front", "eth0", router, addresses),)
    )
    assert config.instances[0].interfaces == {"eth0", "eth1"}


def test_a_short_file_gets_the_defaults() -> None:
    config = parse(SHORTEST, "vrrp.yaml")

    assert config.status_file == Path("/run/guideway/vrrp.json")
    assert config.instances[0].router == machine.Config(
        vrid=51, addresses=(IPv4Address("10.0.0.100"),), priority=100, interval=1.0
    )
    assert config.instances[0].addresses[0].address == IPv4Interface("10.0.0.100/32")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            "instances: [",
            "vrrp.yaml:1: not YAML: expected the node content, but found",
            id="not YAML",
        ),
        pytest.param(
            "instances: 2001-99-99",
            "vrrp.yaml: not YAML: month must be in 1..12",
            id="no such date",
        ),
        pytest.param(
            "instances: []\nchecks: []\ninstances: []\n",
            "vrrp.yaml:3: not YAML: 'instances' stands here twice",
            id="a key that is repeated",
        ),
        pytest.param("[" * 10000, "vrrp.yaml: not YAML: ", id="bottomless"),
        pytest.param("!!bool maybe", "vrrp.yaml: not YAML: 'maybe'", id="no truth"),
        pytest.param("!!timestamp never", "vrrp.yaml: not YAML: ", id="no time"),
        pytest.param("", "vrrp.yaml: is empty; `instances` is required", id="empty"),
        pytest.param(
            "instances: []",
            "vrrp.yaml:1: instances: Expected `array` of length >= 1",
            id="no instance",
        ),
        pytest.param(
            with_instance(vrid=256),
            "vrrp.yaml:1: instances[0] (a), vrid: Expected `int` <= 255",
            id="vrid too large",
        ),
        pytest.param(
            with_instance(vrid=0),
            "vrrp.yaml:1: instances[0] (a), vrid: Expected `int` >= 1",
            id="vrid 0",
        ),
        pytest.param(
            with_instance(priority=0),
            "vrrp.yaml:1: instances[0] (a), priority: Expected `int` >= 1",
            id="priority 0 is only ever sent",
        ),
        pytest.param(
            with_instance(interval=41),
            "vrrp.yaml:1: instances[0] (a): `interval` is 41, but at most 40.95 seconds"
            " are possible in version 3",
            id="interval too long",
        ),
        pytest.param(
            with_instance(interval=0.015),
            "vrrp.yaml:1: instances[0] (a): `interval` is 0.015, but has to be whole"
            " hundredths of a second",
            id="interval finer than the wire",
        ),
        pytest.param(
            with_instance().replace('"vrid"', '"interval": .nan, "vrid"'),
            "vrrp.yaml:1: instances[0] (a), interval: Expected `float` >= 0.01",
            id="interval not a number",
        ),
        pytest.param(
            with_instance(prioritty=1),
            "vrrp.yaml:1: instances[0] (a): Object contains unknown field `prioritty`;"
            " did you mean `priority`?",
            id="misspelt",
        ),
        pytest.param(
            with_instance(interface="a-very-long-name"),
            "vrrp.yaml:1: instances[0] (a), interface: Expected `str` matching regex"
            " '^[^/\\\\s\\\\0]{1,15}\\\\Z': the name of an interface, as `ip link`"
            " shows it",
            id="interface name",
        ),
        pytest.param(
            with_instance(interface="eth0\n"),
            "vrrp.yaml:1: instances[0] (a), interface: Expected `str` matching regex"
            " '^[^/\\\\s\\\\0]{1,15}\\\\Z': the name of an interface, as `ip link`"
            " shows it",
            id="interface with a line break",
        ),
        pytest.param(
            with_instance(addresses=[]),
            "vrrp.yaml:1: instances[0] (a), addresses: Expected `array` of length >= 1",
            id="no address",
        ),
        pytest.param(
            with_instance(addresses=["10.0.0.300"]),
            "vrrp.yaml:1: instances[0] (a): '10.0.0.300' is not an address with a prefix"
            " length, such as 10.0.0.100/32 or 2001:db8::100/128",
            id="not an address",
        ),
        pytest.param(
            with_instance(addresses=[{"address": "2001:db8::/x", "interface": "eth1"}]),
            "vrrp.yaml:1: instances[0] (a), addresses[0] (2001:db8::/x): '2001:db8::/x'"
            " is not an address with a prefix length, such as 10.0.0.100/32 or"
            " 2001:db8::100/128",
            id="not an IPv6 address",
        ),
        pytest.param(
            with_instance(addresses=["2001:db8::1/64"], vrid=26),
            "vrrp.yaml:1: instances[0] (a): the first of `addresses` is 2001:db8::1, but"
            " over IPv6 it has to be link-local: put one before it, such as fe80::1a/64",
            id="IPv6 without link-local",
        ),
        pytest.param(
            with_instance(addresses=["10.0.0.1/32", "2001:db8::1/64"]),
            "vrrp.yaml:1: instances[0] (a): `addresses` are of both families: give each"
            " family an instance of its own, or move those of the other one to"
            " `unadvertised`",
            id="both families",
        ),
        pytest.param(
            with_instance(addresses=["fe80::1/64"], version=2),
            "vrrp.yaml:1: instances[0] (a): version 2 has no IPv6: use version 3",
            id="IPv6 in version 2",
        ),
        pytest.param(
            with_instance(version=4),
            "vrrp.yaml:1: instances[0] (a), version: Invalid enum value 4; it is one of"
            " 2, 3",
            id="no such version",
        ),
        pytest.param(
            with_instance(version=2, interval=1.5),
            "vrrp.yaml:1: instances[0] (a): `interval` is 1.5, but version 2 counts whole"
            " seconds: use one, or version 3",
            id="fractions in version 2",
        ),
        pytest.param(
            with_instance(password="secret"),
            "vrrp.yaml:1: instances[0] (a): `password` goes with version 2 only: version"
            " 3 has none",
            id="password in version 3",
        ),
        pytest.param(
            with_instance(version=2, password="nine char"),
            "vrrp.yaml:1: instances[0] (a): `password` has to be 1 to 8 ASCII characters",
            id="password too long",
        ),
        pytest.param(
            with_instance(peers=["10.0.0.2", "10.0.0.2"]),
            "vrrp.yaml:1: instances[0] (a): a node is named twice in `peers`",
            id="a peer twice",
        ),
        pytest.param(
            with_instance(peers=["10.0.0.x"]),
            "vrrp.yaml:1: instances[0] (a): '10.0.0.x' in `peers` is not an address",
            id="peer",
        ),
        pytest.param(
            with_instance(peers=["2001:db8::1"]),
            "vrrp.yaml:1: instances[0] (a): '2001:db8::1' in `peers` is not of the family"
            " of `addresses`",
            id="peer of the other family",
        ),
        pytest.param(
            with_instance(peers=["224.0.0.18"]),
            "vrrp.yaml:1: instances[0] (a): '224.0.0.18' in `peers` is not the address of"
            " a host",
            id="a group as peer",
        ),
        pytest.param(
            with_instance(addresses=["fe80::1/64"], peers=["fe80::2", "2001:db8::2"]),
            "vrrp.yaml:1: instances[0] (a): `peers` have to be all link-local, or none of"
            " them",
            id="peers of two scopes",
        ),
        pytest.param(
            with_instance(peers=["10.0.0.2"], source="10.0.0.2"),
            "vrrp.yaml:1: instances[0] (a): `source` 10.0.0.2 is one of `peers`",
            id="source among the peers",
        ),
        pytest.param(
            with_instance(addresses=["fe80::1/64"], source="2001:db8::2"),
            "vrrp.yaml:1: instances[0] (a): `source` is 2001:db8::2, but multicast over"
            " IPv6 is sent from a link-local address",
            id="source not link-local",
        ),
        pytest.param(
            with_instance(min_ttl=200),
            "vrrp.yaml:1: instances[0] (a): `min_ttl` goes with `peers` only: multicast"
            " does not pass a router",
            id="far away by multicast",
        ),
        pytest.param(
            with_instance(preempt=False, preempt_delay=10),
            "vrrp.yaml:1: instances[0] (a): `preempt_delay` has no meaning with `preempt:"
            " false`",
            id="a delay of nothing",
        ),
        pytest.param(
            with_instance(priority=255, preempt_delay=10),
            "vrrp.yaml:1: instances[0] (a): `preempt_delay` has no meaning with priority"
            " 255: the owner takes its addresses at once",
            id="an owner that waits",
        ),
        pytest.param(
            with_instance(addresses=[{"address": "10.0.0.1/32", "label": "vip"}]),
            "vrrp.yaml:1: instances[0] (a): `label` is 'vip', but has to begin with the"
            " name of the interface, such as eth0:1",
            id="a label of another interface",
        ),
        pytest.param(
            with_instance(addresses=[{"address": "fe80::1/64", "label": "eth0:1"}]),
            "vrrp.yaml:1: instances[0] (a), addresses[0] (fe80::1/64): `label` goes with"
            " IPv4 only: the kernel has none for IPv6",
            id="a label over IPv6",
        ),
        pytest.param(
            with_instance(addresses=["10.0.0.0/24"]),
            "vrrp.yaml:1: instances[0] (a): '10.0.0.0/24' is not the address of a host",
            id="a network's address",
        ),
        pytest.param(
            with_instance(addresses=["224.0.0.18/32"]),
            "vrrp.yaml:1: instances[0] (a): '224.0.0.18/32' is not the address of a host",
            id="multicast",
        ),
        pytest.param(
            "status_file: vrrp.json\n" + with_instance(),
            "vrrp.yaml:1: `status_file` is 'vrrp.json', but has to be the absolute path"
            " of a file",
            id="status file relative",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "vrrp.yaml")

    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        pytest.param(
            "name: front, interface: eth1, vrid: 52, addresses: [10.0.0.101]",
            "4: instances[1] (front), name: the name 'front' is taken by"
            " instances[0].name: choose another",
            id="name",
        ),
        pytest.param(
            "name: other, interface: eth0, vrid: 51, addresses: [10.0.0.101]",
            "4: instances[1] (other), vrid: VRID 51 on eth0 is taken by"
            " instances[0].vrid: choose another",
            id="vrid on one interface",
        ),
        pytest.param(
            "name: other, interface: eth1, vrid: 51, addresses: [10.0.0.9, 10.0.0.100/24]",
            "4: instances[1] (other), addresses[1]: 10.0.0.100 is taken by"
            " instances[0].addresses[0]: choose another",
            id="address",
        ),
    ],
)
def test_what_two_instances_cannot_share_is_refused(second: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"{SHORTEST}  - {{{second}}}", "vrrp.yaml")

    assert str(caught.value) == f"vrrp.yaml:{sentence}"


def test_one_vrid_may_serve_both_families_on_one_interface() -> None:
    second = "{name: six, interface: eth0, vrid: 51, addresses: ['fe80::33/64']}"

    config = parse(f"{SHORTEST}  - {second}", "vrrp.yaml")

    assert [each.dialect.family for each in config.instances] == [4, 6]


def test_addresses_that_are_not_advertised_may_be_of_the_other_family() -> None:
    extra = {"address": "2001:db8::1/64", "interface": "eth1"}
    instance = parse(with_instance(unadvertised=[extra]), "vrrp.yaml").instances[0]

    assert instance.router.addresses == (IPv4Address("10.0.0.1"),)
    assert [str(each) for each in instance.addresses] == [
        "10.0.0.1/32 on eth0",
        "2001:db8::1/64 on eth1",
    ]


def test_what_a_peer_speaks_is_said_by_the_file() -> None:
    text = with_instance(
        version=2, password="1111", checksum="plain", peers=["10.0.0.2"], min_ttl=250
    )

    instance = parse(text, "vrrp.yaml").instances[0]

    assert instance.dialect == Dialect(4, 2, b"1111", pseudo_header=False)
    assert instance.peers == (IPv4Address("10.0.0.2"),)
    assert instance.admission.least_ttl == 250


def test_one_vrid_may_live_on_two_interfaces() -> None:
    second = "{name: back, interface: eth1, vrid: 51, addresses: [10.0.0.101]}"

    config = parse(f"{SHORTEST}  - {second}", "vrrp.yaml")

    assert [each.name for each in config.instances] == ["front", "back"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml")

    wanted = f"{tmp_path}/none.yaml: cannot be read: No such file or directory"
    assert str(caught.value) == wanted


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "vrrp.yaml"
    path.write_bytes(b"\xff\xfe")

    with pytest.raises(ConfigError) as caught:
        load(path)

    assert str(caught.value) == f"{path}: cannot be read: it is not UTF-8"


def test_half_a_character_is_refused() -> None:
    with pytest.raises(ConfigError, match="half a character"):
        parse('"\\ud800": 1', "vrrp.yaml")


def test_a_file_on_disk_is_read(tmp_path: Path) -> None:
    path = tmp_path / "vrrp.yaml"
    path.write_text(WHOLE, encoding="utf-8")

    assert load(path) == parse(WHOLE, "any name")


@given(damaged_texts(WHOLE) | st.text(max_size=200))
def test_any_text_is_a_configuration_or_gets_a_sentence(text: str) -> None:
    sentence = "vrrp.yaml"
    try:
        parse(text, "vrrp.yaml")
    except ConfigError as error:
        sentence = str(error)

    assert sentence.startswith("vrrp.yaml")
    assert "\n" not in sentence


CHECKED = """
checks:
  - {name: up, type: interface, interface: eth2}
  - {name: web, type: script, command: [/bin/curl, -f, "http://10.0.0.1"], interval: 5,
     rise: 2, fall: 3, user: nobody}
  - {name: quiet, type: file, path: /etc/off}
  - {name: bird, type: process, process: bird, quorum: 2}
  - {name: xdp, type: guidewayd, backends: false}
instances:
  - {name: a, interface: eth0, vrid: 1, addresses: [10.0.0.1], track: [xdp]}
  - name: b
    interface: eth1
    vrid: 1
    addresses: [10.0.0.2]
    track: [{check: web, weight: -20}, {check: quiet, weight: -1}]
"""
GROUP = "sync_groups: [{name: g, instances: [a, b]}]"


def test_checks_and_tracks_are_what_the_file_says() -> None:
    config = parse(CHECKED, "vrrp.yaml")

    assert config.checks == (
        Check("up", InterfaceProbe("eth2")),
        Check(
            "web",
            ScriptProbe(("/bin/curl", "-f", "http://10.0.0.1"), 5.0, "nobody"),
            interval=5.0,
            rise=2,
            fall=3,
        ),
        Check("quiet", FileProbe(Path("/etc/off"))),
        Check("bird", ProcessProbe("bird", 2)),
        Check("xdp", DataPlaneProbe(Path("/run/guideway/guidewayd.json"), backends=False)),
    )
    assert [each.tracks for each in config.instances] == [
        (Track("xdp", 0),),
        (Track("web", -20), Track("quiet", -1)),
    ]


def test_what_one_member_of_a_group_tracks_counts_for_all() -> None:
    config = parse(CHECKED + GROUP, "vrrp.yaml")

    every = (Track("xdp", 0), Track("web", -20), Track("quiet", -1))
    assert [(each.group, each.tracks) for each in config.instances] == [("g", every)] * 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            CHECKED.replace("track: [xdp]", "track: [none]"),
            "10: instances[0] (a), track[0]: there is no check 'none': name one of"
            " `checks`",
            id="no such check",
        ),
        pytest.param(
            CHECKED.replace("track: [xdp]", "track: [xdp, xdp]"),
            "10: instances[0] (a), track[1]: check 'xdp' is taken by"
            " instances[0].track[0]: choose another",
            id="tracked twice",
        ),
        pytest.param(
            CHECKED.replace("interface: eth1", "interface: eth1\n    priority: 255"),
            "16: instances[1] (b), track[0]: `weight` has no meaning with priority 255:"
            " the owner remains it",
            id="an owner with weights",
        ),
        pytest.param(
            CHECKED.replace("name: bird", "name: web"),
            "7: checks[3] (web), name: the name 'web' is taken by checks[1].name: choose"
            " another",
            id="two checks of one name",
        ),
        pytest.param(
            CHECKED.replace("/bin/curl", "curl"),
            "4: checks[1] (web): `command` is 'curl': give its absolute path",
            id="relative command",
        ),
        pytest.param(
            CHECKED.replace("type: file", "type: files"),
            "6: checks[2] (quiet), type: Invalid value 'files'; it is one of interface,"
            " script, file, process, guidewayd",
            id="no such type",
        ),
        pytest.param(
            CHECKED + GROUP.replace("b]", "c]"),
            "16: sync_groups[0] (g), instances[1]: there is no instance 'c'; there are:"
            " a, b",
            id="no such instance",
        ),
        pytest.param(
            CHECKED + GROUP.replace("a, b", "a, a"),
            "16: sync_groups[0] (g), instances[1]: instance 'a' is taken by"
            " sync_groups[0].instances[0]: choose another",
            id="a member twice",
        ),
        pytest.param(
            CHECKED.replace("vrid: 1, ", "vrid: 1, priority: 90, ") + GROUP,
            "16: sync_groups[0] (g), instances: the members of a sync group have to have"
            " equal `priority`, `preempt` and `preempt_delay`: else no node can lead all"
            " of them",
            id="members of unequal rank",
        ),
        pytest.param(
            CHECKED.replace("track: [xdp]", "track: [web]") + GROUP,
            "16: sync_groups[0] (g), instances: what one member of a sync group tracks"
            " counts for all: give the check the same weight everywhere",
            id="two weights in a group",
        ),
    ],
)
def test_a_mistake_in_checks_and_groups_is_named_with_its_place(
    text: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "vrrp.yaml")

    assert str(caught.value) == f"vrrp.yaml:{sentence}"


def test_whom_to_tell_is_said_for_instances_and_groups() -> None:
    to = "{command: [/bin/notify, -v], timeout: 5, user: nobody}"
    group = GROUP.replace("]}]", f"], notify: {to}}}]")
    text = CHECKED.replace("track: [xdp]}", f"track: [xdp], notify: {to}}}") + group

    config = parse(text, "vrrp.yaml")

    program = Program(("/bin/notify", "-v"), 5.0, "nobody")
    assert [each.notify for each in config.instances] == [program, None]
    assert config.groups == {"g": program}
    assert config.instances[0].core == replace(config.instances[0], notify=None).core


@pytest.mark.parametrize(
    ("notify", "sentence"),
    [
        ("{command: [notify]}", "`command` is 'notify': give its absolute path"),
        ("{command: []}", "Expected `array` of length >= 1"),
        ('{command: ["/bin/a", "b\\0"]}', "`command` has a NUL character"),
        ("{command: [/bin/a], timeout: 0}", "Expected `float` >= 0.05"),
        ("/bin/notify", "got `str`; it is made of keys, such as `command:`"),
    ],
)
def test_nobody_who_cannot_be_told_is_to_be_told(notify: str, sentence: str) -> None:
    text = SHORTEST.rstrip().rstrip("}") + f", notify: {notify}}}"

    with pytest.raises(ConfigError, match=re.escape(sentence)):
        parse(text, "vrrp.yaml")


def test_where_maintenance_is_remembered_is_an_absolute_path() -> None:
    assert parse(SHORTEST, "vrrp.yaml").maintenance_file == Path(
        "/var/lib/guideway/vrrp.maintenance"
    )
    with pytest.raises(ConfigError, match="`maintenance_file` is 'here', but has to be"):
        parse("maintenance_file: here\n" + SHORTEST, "vrrp.yaml")


def test_a_number_where_a_password_belongs_is_to_be_put_in_quotes() -> None:
    text = f"{WHOLE}    version: 2\n    password: 1234\n"

    with pytest.raises(ConfigError) as caught:
        parse(text, "vrrp.yaml")

    assert str(caught.value) == (
        "vrrp.yaml:14: instances[0] (front), password: Expected `str | null`, got `int`;"
        " put it in quotes"
    )
