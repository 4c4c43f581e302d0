"""What is wrong with VRRP, by what is known of the node and heard on the wire. Pure.

An Active speaks, and a Backup hears it; who hears and says nothing for too long is stuck.
That an Active hears nobody is how it should be: whether a peer could take over, it cannot
know. But there must be nobody else who says that he is Active.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from control.addresses import IpAddress
from control.doctor.answers import Advert
from control.doctor.facts import Node, Station
from control.doctor.findings import Finding, Severity
from control.metrics.seen import Router

# guideway-vrrpd brings its status file up to date once in a second.
_LAG: Final = 1.5  # seconds
_LONGEST: Final = 10.0  # seconds that anybody is watched for
# Faults of those whom we do not concern: other virtual routers of the segment.
_LAWFUL: Final = {"vrid"}

Routers = Mapping[str, Router]


def examine_vrrp(node: Node) -> Iterator[Finding]:
    """Yield what is wrong."""
    if node.routers is None:
        yield from _without_vrrp(node)
        return
    if node.unread and node.host.is_root and node.routers:
        yield Finding(
            "vrrp-unread",
            Severity.NOTE,
            "what guideway-vrrpd should do is not known, so its peers and its silence were "
            f"not looked at: {node.unread}",
            "name its file: `--vrrp-config FILE`",
        )
    for name, router in node.routers.items():
        if router.problem:
            yield Finding(
                "vrrp-rests",
                Severity.ERROR,
                f"VRRP instance {name} rests: {router.problem}",
                "mend that, and it takes part again by itself",
            )
        station = node.stations.get(name)
        if station is not None:
            yield from _station(node, name, station, router)
    for name, count in node.unsent.items():
        yield Finding(
            "vrrp-unsent",
            Severity.ERROR,
            f"of VRRP instance {name}, the kernel refused to send {count} advertisements "
            "just now: peers that hear nothing take its addresses over",
            "see guideway-vrrpd's log for why; a firewall of this host may drop what goes "
            "out by VRRP, IP protocol 112",
        )
    for (name, fault), count in node.discarded.items():
        if fault not in _LAWFUL:
            yield Finding(
                "vrrp-discards",
                Severity.WARNING,
                f"VRRP instance {name} discarded {count} advertisements just now, by their "
                f"{fault}",
                "compare this instance with the other node's file, and see "
                "guideway-vrrpd's log for who sends them",
            )


def overheard(
    node: Node, adverts: Iterable[tuple[str, Advert]]
) -> Mapping[str, frozenset[IpAddress]]:
    """Return who advertises what an instance of ours is, by instance.

    ``adverts`` have come in by the interfaces that stand beside them.
    """
    own = node.host.network.addresses
    every = list(adverts)
    return {
        name: frozenset(found)
        for name, station in node.stations.items()
        if (
            found := [
                advert.source
                for interface, advert in every
                if (interface, advert.vrid) == (station.interface, station.vrid)
                and advert.source.version == station.version
                and advert.source not in own
            ]
        )
    }


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What an instance may be ill with, if that lasts."""

    # Seconds of silence that are no longer normal, of who has heard or said nothing;
    # 0: it has, or it is to have so much time that we do not wait for the end of it.
    silence: float = 0.0
    # Seconds after which it should have told of others that we have heard; 0: it has.
    deafness: float = 0.0


def suspicious(node: Node, before: Routers, now: Routers) -> Mapping[str, Suspicion]:
    """Return the instances that have not done as they should, by what they counted."""
    found = {}
    for name, station in node.stations.items():
        first, last = before.get(name), now.get(name)
        if first is None or last is None or last.problem:
            continue
        patience = station.patience + _LAG
        is_silent = patience <= _LONGEST and _is_silent(first, last)
        is_deaf = name in node.overheard and _is_deaf(first, last)
        suspicion = Suspicion(patience if is_silent else 0.0, _LAG if is_deaf else 0.0)
        if suspicion != Suspicion():
            found[name] = suspicion
    return found


def _is_silent(before: Router, now: Router) -> bool:
    """Tell whether a Backup has heard nothing, or an Active said nothing, in between."""
    if (before.state, before.since) != (now.state, now.since):
        return False
    if now.state == "backup":
        return _noticed(before) == _noticed(now)
    return now.state == "active" and _spoke(before) == _spoke(now)


def _is_deaf(before: Router, now: Router) -> bool:
    """Tell whether nothing that somebody has said in between was noticed."""
    if before.state != now.state or now.state not in ("active", "backup"):
        return False
    return _noticed(before) == _noticed(now)


def _noticed(router: Router) -> int:
    return _count(router.heard) + sum(
        count for fault, count in router.discarded.items() if fault not in _LAWFUL
    )


def _spoke(router: Router) -> int:
    return _count(router.sent) + router.unsent


def _count(counts: Mapping[str, int]) -> int:
    return sum(counts.values())


def _without_vrrp(node: Node) -> Iterator[Finding]:
    own = node.host.network.addresses
    vips = {pool.vip for pool in node.pools}
    for vip in sorted(vips - own, key=lambda each: (each.version, each)):
        yield Finding(
            "vip-nowhere",
            Severity.WARNING,
            f"the VIP {vip} is no address of this host, and guideway-vrrpd, which would "
            "give it one, does not run",
            "start guideway-vrrpd, or route the VIP here",
        )


def _station(node: Node, name: str, station: Station, router: Router) -> Iterator[Finding]:
    sources = ", ".join(map(str, sorted(node.overheard.get(name, ()), key=str)))
    patience = f"{station.patience:g} s"
    if name in node.stalled and router.state == "active":
        yield Finding(
            "vrrp-stalled",
            Severity.ERROR,
            f"VRRP instance {name} is Active and has said nothing for more than "
            f"{patience}: a peer takes its addresses over",
            "guideway-vrrpd hangs, or was killed: see `systemctl status guideway-vrrpd` "
            "and its log",
        )
    elif sources and name in node.unheeded:
        yield Finding(
            "vrrp-unheard",
            Severity.ERROR,
            f"VRRP instance {name} is {router.state.capitalize()} and hears nothing of "
            f"{sources}, whose advertisements come in by {station.interface}",
            "let them in: a firewall of this host drops VRRP, IP protocol 112"
            + (", or guideway-vrrpd hangs" if name in node.stalled else ""),
        )
    elif name in node.stalled:
        yield Finding(
            "vrrp-stalled",
            Severity.ERROR,
            f"VRRP instance {name} is Backup, has heard nobody for more than {patience}, "
            "and does not take over",
            f"see that VRRP (IP protocol 112) comes in by {station.interface}, that "
            "guideway-vrrpd runs, and what `guideway vrrp status` says of its sync group",
        )
    for peer in station.peers:
        hop = node.host.network.next_hops.get(peer)
        if hop is None or hop.mac is None:
            yield Finding(
                "peer-unreachable",
                Severity.WARNING,
                f"peer {peer} of VRRP instance {name} cannot be reached: it could not take "
                "over",
                f"`ip route get {peer}`, and look at that node and its cable",
            )
