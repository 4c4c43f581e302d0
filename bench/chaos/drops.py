"""Where the kernel dropped what it should have delivered: the counters of hosts."""

from collections import Counter
from pathlib import Path
from typing import Final

from vagrant.lab.topology import Topology

# Each counts packets, and is 0 as long as nobody is overrun.
_LOSSES: Final = (
    "Ip.InDiscards",
    "Ip.InHdrErrors",
    "Ip.InAddrErrors",
    "Ip.OutDiscards",
    "Ip.OutNoRoutes",
    "Ip.FragFails",
    "Tcp.InErrs",
    "Tcp.RetransSegs",
    "Udp.InErrors",
    "Udp.NoPorts",
    "Udp.RcvbufErrors",
    "Udp.SndbufErrors",
    "TcpExt.ListenDrops",
    "TcpExt.TCPBacklogDrop",
    "TcpExt.IPReversePathFilter",
    "Udp6InErrors",
    "Udp6NoPorts",
    "Udp6RcvbufErrors",
    "Udp6SndbufErrors",
    "Ip6InDiscards",
    "Ip6OutDiscards",
    "Ip6OutNoRoutes",
    "Ip6InAddrErrors",
)


def read(topology: Topology) -> Counter[str]:
    """Return the counters of all hosts and switches, by host and name."""
    ends = (topology.client, *topology.balancers.values(), *topology.backends.values())
    found: Counter[str] = Counter()
    for host in ends:
        with host.inside():
            counters = {**_pairs("snmp"), **_pairs("netstat"), **_lines("snmp6")}
        for name in _LOSSES:
            found[f"{host.name}: {name}"] = counters.get(name, 0)
    for host in (*ends, *(segment.switch for segment in topology.segments)):
        with host.inside():
            queues = _queues()
        for name, value in queues.items():
            found[f"{host.name}: {name}"] = value
    for cpu, value in enumerate(_backlogs()):
        found[f"this machine: backlog of CPU {cpu}"] = value
    return found


def growth(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    """Return by how much counters have grown, without those that have not."""
    return dict(after - before)


def _pairs(name: str) -> dict[str, int]:
    """Read a file in which a line of names and one of values follow each other."""
    rows = [line.split() for line in _text(name).splitlines()]
    return {
        f"{title.removesuffix(':')}.{key}": int(value)
        for (title, *keys), (_, *values) in zip(rows[::2], rows[1::2], strict=True)
        for key, value in zip(keys, values, strict=True)
    }


def _lines(name: str) -> dict[str, int]:
    rows = (line.split() for line in _text(name).splitlines())
    return {key: int(value) for key, value in rows}


def _queues() -> dict[str, int]:
    """Return what interfaces have dropped, on their way in and out."""
    dropped = {}
    for line in _text("dev").splitlines()[2:]:
        interface, _, numbers = line.partition(":")
        fields = numbers.split()
        dropped[f"{interface.strip()} dropped on the way in"] = int(fields[3])
        dropped[f"{interface.strip()} dropped on the way out"] = int(fields[11])
    return dropped


def _backlogs() -> list[int]:
    """Return what each CPU dropped because too much was waiting."""
    return [int(line.split()[1], 16) for line in _text("softnet_stat").splitlines()]


def _text(name: str) -> str:
    return Path("/proc/thread-self/net", name).read_text(encoding="ascii")
