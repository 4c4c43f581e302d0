"""keepalived's VRRP instances, as those of guideway-vrrpd."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any, Final

from control.importing.body import Body
from control.importing.notes import Notes
from control.importing.statements import Statement
from control.importing.told import command_of
from control.importing.tracked import TRACKS, Checks, plain_name

_SCRIPT: Final = "there is `notify` alone, whose third argument tells; left out"
_MAIL: Final = "mails of guidewayd tell of every instance, or of none; left out"
_MAC: Final = "addresses are on the interface itself, with its MAC: gratuitous ARP tells so"
_ONLY_ADDRESSES: Final = "only addresses move; left out"
_AGAIN: Final = "who loses is answered at once, and announced to as at the start; left out"
SENTENCES: Final[Mapping[str, str]] = {
    "notify_master": _SCRIPT,
    "notify_backup": _SCRIPT,
    "notify_fault": _SCRIPT,
    "notify_stop": _SCRIPT,
    "notify_deleted": _SCRIPT,
    "notify_master_rx_lower_pri": _SCRIPT,
    "smtp_alert": _MAIL,
    "use_vmac_addr": "addresses of other interfaces are there, with their MAC; left out",
    "use_ipvlan": _MAC,
    "vmac_xmit_base": "goes with use_vmac only; left out",
    "virtual_routes": _ONLY_ADDRESSES,
    "virtual_rules": _ONLY_ADDRESSES,
    "track_bfd": "there is no BFD; left out",
    "garp_lower_prio_delay": _AGAIN,
    "garp_lower_prio_repeat": _AGAIN,
    "no_accept": "a node takes what is for its addresses; left out",
    "strict_mode": "deviations from the RFC are where this file has them; left out",
    "lvs_sync_daemon_interface": "`peers` of guidewayd tell flows; left out",
    "dont_track_primary": "an instance gives up while its interface is down; left out",
    "mcast_dst_ip": "advertisements go to the group that the RFC names; left out",
    "unicast_ttl": "advertisements are sent with 255; left out",
}
_AS_HERE: Final = (
    "state",
    "preempt",
    "accept",
    "native_ipv6",
    "check_unicast_src",
    "debug",
)
_LONGEST_PASSWORD: Final = 8
_OWNER: Final = 255
_REFRESH: Final = 60  # seconds; switches remember a MAC for 300
_LONGEST_LABEL: Final = 15
_IPV6: Final = 6
_IPV6_TTL: Final = 64  # what keepalived sends in unicast over IPv6


@dataclass(frozen=True, slots=True)
class Globals:
    """What instances take from global_defs."""

    version: int = 2
    announce: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Router:
    """An instance, not yet looked at as a whole."""

    block: Statement
    values: dict[str, Any]  # as a file has them, but for what is tracked
    tracked: dict[str, int]  # weights by check
    grouped: bool = False  # it is in a sync group

    @property
    def plain(self) -> dict[str, Any]:
        """The instance as a file has it."""
        if not self.tracked:
            return self.values
        owner = self.values.get("priority") == _OWNER  # whose priority does not change
        track = [
            {"check": name, "weight": weight} if weight and not owner else name
            for name, weight in self.tracked.items()
        ]
        return self.values | {"track": track}


def router_of(
    block: Statement, usual: Globals, checks: Checks, *, grouped: bool, notes: Notes
) -> Router | None:
    """Return an instance; None, and a note, if it cannot be one."""
    body = Body(block, notes)
    body.every(*_AS_HERE)
    name = plain_name((block.arguments or ("_",))[0])
    interface = body.word("interface")
    vrid = body.whole("virtual_router_id", least=1, most=255)
    addresses = list(_addresses(body, "virtual_ipaddress"))
    excluded = list(_addresses(body, "virtual_ipaddress_excluded"))
    if interface is None or vrid is None or not addresses:
        why = "needs interface, virtual_router_id and virtual_ipaddress here; left out"
        notes.add(block.place, block.keyword, why)
        return None
    family = _family(addresses[0])
    said = body.whole("version", least=2, most=3)
    version = 3 if family == _IPV6 else said or usual.version
    advertised, others = _advertised(body, addresses, vrid)
    values = {
        "name": name,
        "interface": interface,
        "vrid": vrid,
        "version": version if version != 3 else None,  # noqa: PLR2004 - the default
        "priority": body.whole("priority", least=1, most=255),
        **_timing(body, version),
        **_wire(body, version, family),
        "addresses": advertised,
        "unadvertised": [*others, *excluded] or None,
        "notify": notify_of(body, checks.user),
        "announce": dict(usual.announce) | announcements(body, "") or None,
    }
    values |= _virtual_mac(body, values)
    tracked = checks.tracks(body.every(*TRACKS), weighted=not grouped)
    body.rest(SENTENCES)
    given = {key: value for key, value in values.items() if value is not None}
    return Router(block, given, tracked)


def _advertised(body: Body, addresses: list[Any], vrid: int) -> tuple[list[Any], list[Any]]:
    """Return the addresses that are advertised, and those that only move along."""
    family = _family(addresses[0])
    first = [one for one in addresses if _family(one) == family]
    others = [one for one in addresses if _family(one) != family]
    place = body.block.place
    if others:
        why = "addresses of the other family are not advertised: they move along"
        body.notes.add(place, "virtual_ipaddress", why)
    if family == _IPV6 and not _is_link_local(first[0]):
        link_local = f"fe80::{vrid:x}/64"
        why = f"over IPv6 the first is link-local: {link_local} is put before the others"
        body.notes.add(place, "virtual_ipaddress", why)
        first.insert(0, link_local)
    return first, others


def announcements(body: Body, prefix: str) -> dict[str, float]:
    """Take how often addresses are announced; keywords begin with ``prefix``."""
    found: dict[str, float] = {}
    for key, keyword, least, most in (
        ("repeat", "garp_master_repeat", 1, 100),
        ("delay", "garp_master_delay", 0, 3600),
        ("refresh", "garp_master_refresh", 0, 86400),
        ("refresh_repeat", "garp_master_refresh_repeat", 1, 100),
    ):
        value = body.number(f"{prefix}{keyword}", least=least, most=most)
        if value is not None:
            found[key] = int(value) if key.endswith("repeat") else value
    return found


def _timing(body: Body, version: int) -> dict[str, Any]:
    interval = body.number("advert_int", least=0.01, most=255)
    if interval is not None and version == 2 and interval != int(interval):  # noqa: PLR2004
        rounded = max(1, round(interval))
        why = f"version 2 counts whole seconds: {rounded} is taken, or use version 3"
        body.notes.add(body.block.place, "advert_int", why)
        interval = rounded
    still = body.flag("nopreempt")
    delay = body.number("preempt_delay", least=0, most=1000)
    if still and delay:
        why = "does not go with nopreempt; left out"
        body.notes.add(body.block.place, "preempt_delay", why)
        delay = None
    return {
        "interval": interval,
        "preempt": False if still else None,
        "preempt_delay": delay,
        "down_adverts": body.whole("down_timer_adverts", least=1, most=100),
    }


def _wire(body: Body, version: int, family: int) -> dict[str, Any]:
    """Take how advertisements look, and who exchanges them."""
    source = body.word("unicast_src_ip") or body.word("mcast_src_ip")
    peers, ttls = [], []
    for block in body.every("unicast_peer"):
        for one in block.body or ():
            peers.append(one.keyword)
            words = one.arguments
            if "min_ttl" in words[:-1] and words[words.index("min_ttl") + 1].isdecimal():
                ttls.append(int(words[words.index("min_ttl") + 1]))
            if "max_ttl" in words:
                body.note(one, "there is no max_ttl; left out")
    usual = [_IPV6_TTL] if family == _IPV6 and peers else []
    plain = body.flag("v3_checksum_as_v2", "old_unicast_checksum")
    return {
        "password": _password(body, version),
        "source": source,
        "peers": peers or None,
        "min_ttl": max(1, min(ttls or usual)) if ttls or usual else None,
        "checksum": "plain" if plain and version == 3 and family != _IPV6 else None,  # noqa: PLR2004
    }


def notify_of(body: Body, user: str | None) -> dict[str, Any] | None:
    """Take the program that is told what an instance or group becomes."""
    statement = body.last("notify")
    return command_of(statement, user, body.notes) if statement else None


def _virtual_mac(body: Body, values: Mapping[str, Any]) -> dict[str, Any]:
    """Take whether the Active has the virtual router's MAC; its own name is as here."""
    statement = body.last("use_vmac")
    if statement is None:
        return {}
    if values["priority"] == _OWNER:
        body.note(statement, "does not go with priority 255; left out")
        return {}
    own = body.flag("vmac_xmit_base")
    found: dict[str, Any] = {"virtual_mac": True, "advertise_mac": "own" if own else None}
    announce = values["announce"] or {}
    if (own or values["peers"]) and not announce.get("refresh"):
        why = f"`refresh: {_REFRESH}` is added: else switches would forget the virtual MAC"
        body.note(statement, why)
        found["announce"] = announce | {"refresh": _REFRESH}
    return found


def _password(body: Body, version: int) -> str | None:
    for block in body.every("authentication"):
        inner = Body(block, body.notes)
        kind, password = inner.word("auth_type"), inner.word("auth_pass")
        inner.rest({})
        if kind is None or password is None:
            continue
        if version != 2:  # noqa: PLR2004
            inner.note(block, "version 3 has no authentication; left out")
        elif kind.upper() not in ("PASS", "SIMPLE_PASSWORD"):
            inner.note(block, f"there is no {kind}, only PASS; left out")
        elif not password.isascii():
            inner.note(block, "a password has ASCII characters only; left out")
        else:
            return password[:_LONGEST_PASSWORD]  # as keepalived does
    return None


def _addresses(body: Body, keyword: str) -> Iterator[Any]:
    """Take the addresses of a block, as a file has them."""
    for block in body.every(keyword):
        for one in block.body or ():
            words = one.arguments
            try:
                address = str(ip_interface(one.keyword))
            except ValueError:
                body.note(one, "is not an address; left out")
                continue
            device, label = _after("dev", words), _after("label", words)
            if label and not _is_label(label, device, address):
                label = None
            pairs = [(k, v) for k, v in (("dev", device), ("label", label)) if v]
            taken = {word for pair in pairs for word in pair}
            if ignored := [word for word in words if word not in taken]:
                body.note(one, f"`{' '.join(ignored)}` is left out")
            said = {"address": address, "interface": device}
            yield said | ({"label": label} if label else {}) if device else address


def _after(keyword: str, words: Sequence[str]) -> str | None:
    """Return what follows a keyword."""
    return words[words.index(keyword) + 1] if keyword in words[:-1] else None


def _is_label(label: str, device: str | None, address: str) -> bool:
    """Tell whether guideway-vrrpd takes it."""
    fits = device is not None and label.startswith(device) and len(label) <= _LONGEST_LABEL
    return fits and ip_interface(address).version != _IPV6


def _text(entry: Any) -> str:
    return str(entry["address"] if isinstance(entry, dict) else entry)


def _family(entry: Any) -> int:
    return ip_interface(_text(entry)).version


def _is_link_local(entry: Any) -> bool:
    return ip_interface(_text(entry)).ip.is_link_local
