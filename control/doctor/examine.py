"""What is wrong with a node, by what is known of it. Pure."""

from collections.abc import Iterator
from typing import Final

from control.doctor.facts import Daemon, Drops, Node, Pool
from control.doctor.findings import Finding, Severity
from control.doctor.vrrp import examine_vrrp
from control.facts import Link

_KERNEL: Final = (5, 18)  # frames in fragments for XDP, the origin of an address
_LITTLE: Final = 64 << 20  # bytes that should be free for the state
_FULL: Final = 0.9  # part of a map
_LIMITED: Final = {"slots", "backends", "directory"}  # maps in which nobody makes room
_NAMED: Final = 4  # backends of a service that get sentences of their own
_ITS_LOG: Final = "see `systemctl status guidewayd` and `journalctl -u guidewayd`"


def examine(node: Node) -> Iterator[Finding]:
    """Yield what is wrong, from the ground up."""
    if is_elsewhere(node):
        yield _error(
            "elsewhere",
            "guidewayd, which answers, runs in another network namespace: what is here "
            "says nothing of it",
            "run doctor there: `ip netns exec NAME guideway doctor`, with its --config",
        )
        return
    yield from _host(node)
    yield from _file(node)
    for name in node.interfaces:
        yield from _interface(node, name)
    yield from _mtus(node)
    if node.daemon is not None:
        yield from _daemon(node.daemon)
    elif node.silent:
        yield _silent(node)
    for setting in node.host.settings:
        problem, _, remedy = setting.rpartition(": ")
        yield _warning("sysctl", problem, remedy)
    for pool in node.pools:
        yield from _pool(node, pool)
    yield from examine_vrrp(node)


def is_elsewhere(node: Node) -> bool:
    """Tell whether the interfaces of guidewayd are not those of this host."""
    running = {one.name for one in node.host.network.interfaces if one.xdp != "none"}
    attached = (
        {name for name, ours in node.daemon.attached.items() if ours}
        if node.daemon
        else set()
    )
    return bool(attached) and not attached & running


def _host(node: Node) -> Iterator[Finding]:
    host = node.host
    if not host.is_root:
        yield _note(
            "not-root",
            "without root nobody is asked, and guidewayd and its pins may not be seen",
            "run it as root",
        )
    if host.kernel < _KERNEL:
        yield _error(
            "kernel-old",
            f"Linux {'.'.join(map(str, host.kernel))} lacks what guideway needs",
            f"run Linux {'.'.join(map(str, _KERNEL))} or later",
        )
    if not host.has_bcc:
        yield _error(
            "bcc-missing",
            "BCC is not installed: no program can be compiled",
            "`apt-get install python3-bpfcc`",
        )
    if not host.has_bpffs:
        bpffs = node.settings.bpffs if node.settings else "/sys/fs/bpf"
        yield _error(
            "bpffs-missing",
            f"there is no bpffs at {bpffs}: nothing outlives guidewayd",
            f"`mount -t bpf bpf {bpffs}`",
        )
    if not host.has_jit:
        yield _warning(
            "jit-off",
            "the kernel interprets BPF programs: each packet costs many times as much",
            "`sysctl -w net.core.bpf_jit_enable=1`",
        )
    if not host.clock_is_set:
        yield _note(
            "clock-unset",
            "nobody keeps this host's clock: times in the history and the validity of "
            "certificates go by it",
            "run chrony or systemd-timesyncd",
        )
    if host.free < _LITTLE:
        where = node.settings.state_directory if node.settings else "/var/lib/guideway"
        yield _error(
            "disk-full",
            f"{host.free >> 20} MiB are free for {where}: changes will be refused",
            "make room there",
        )


def _file(node: Node) -> Iterator[Finding]:
    if node.misconfigured:
        yield _error(
            "file-refused",
            f"guidewayd would not start with its file: {node.misconfigured}",
            "mend it, and see `guidewayd --check`",
        )


def _interface(node: Node, name: str) -> Iterator[Finding]:
    link = node.host.links.get(name)
    if link is None:
        yield _error(
            "interface-missing",
            f"there is no interface {name}",
            "`ip link` shows what there is; name that in `interfaces`",
        )
        return
    if not link.is_up:
        yield _error("interface-down", f"{name} is down", f"`ip link set {name} up`")
    elif not link.has_carrier:
        yield _error(
            "no-carrier", f"{name} has no carrier", "look at its cable, and the other end"
        )
    yield from _program(node, link)
    if name in node.host.physical and link.receive_queues == 1 and node.host.cpus > 1:
        yield _note(
            "one-queue",
            f"{name} has one receive queue: one CPU does all the work",
            f"`ethtool -L {name} combined {node.host.cpus}`, if the card has as many",
        )


def _program(node: Node, link: Link) -> Iterator[Finding]:
    mode = next(
        (one.xdp for one in node.host.network.interfaces if one.name == link.name), "none"
    )
    daemon = node.daemon
    is_ours = node.attached.get(link.name)  # None: nobody knows
    if is_ours is False and mode != "none":
        yield _error(
            "program-foreign",
            f"somebody else's XDP program runs on {link.name}: packets are not balanced",
            f"see whose it is by `bpftool net show dev {link.name}`; "
            f"`ip link set {link.name} xdp off` takes it away, and guidewayd attaches its "
            + ("own within seconds" if daemon else "own when it is started"),
        )
    elif is_ours is not True and mode == "none" and not (daemon and daemon.detached):
        yield _error(
            "program-missing",
            f"no program runs on {link.name}: its packets are not balanced",
            "see the warnings of `guideway status`, and guidewayd's log"
            if daemon
            else "start guidewayd, which attaches it",
        )
    elif mode == "generic":
        yield _warning(
            "generic-mode",
            f"the program on {link.name} runs in generic mode, which costs several times "
            "as much",
            "take a driver with native XDP, and `xdp_mode: native`",
        )


def _mtus(node: Node) -> Iterator[Finding]:
    links = [node.host.links[n] for n in node.interfaces if n in node.host.links]
    mtus = {link.mtu for link in links}
    if len(mtus) > 1:
        shown = ", ".join(f"{link.name} has {link.mtu}" for link in links)
        yield _warning(
            "mtu-differs",
            f"packets that come in may be too long to go out: {shown}",
            "give these interfaces the same MTU, on backends, too",
        )


def _daemon(daemon: Daemon) -> Iterator[Finding]:
    if daemon.detached:
        yield _error(
            "detached",
            "the data plane is detached: nothing is balanced",
            "`guideway dataplane reload`",
        )
    elif daemon.applied_version < daemon.desired_version:
        yield _warning(
            "behind",
            f"the kernel has version {daemon.applied_version} of the services, and "
            f"{daemon.desired_version} is wanted",
            "see the warnings of `guideway status`; a moment later it may be gone",
        )
    for warning in daemon.warnings:
        problem, _, remedy = warning.rpartition(": ")
        yield _warning("status", problem or remedy, remedy if problem else "see there")
    for name, (used, limit) in daemon.maps.items():
        if name in _LIMITED and used >= _FULL * limit:
            yield _warning(
                "map-full",
                f"the map {name} is {used / limit:.0%} full: {used} of {limit}",
                "raise what fits under `limits`, and run `guideway dataplane reload`",
            )
    yield from (_dropped(drops) for drops in daemon.drops)


def _silent(node: Node) -> Finding:
    """Say that guidewayd does not answer, and what that means for packets."""
    running = [node.attached.get(name) for name in node.interfaces]
    if any(running):
        go_on = "packets go on by the last tables" if all(running) else "some packets go on"
        return _error("daemon-silent", node.silent, f"{go_on}, unchecked: {_ITS_LOG}")
    return _error("daemon-silent", node.silent, _ITS_LOG)


def _dropped(drops: Drops) -> Finding:
    return _warning(
        "drops-rising",
        f"{drops.count} packets were dropped just now as {drops.reason}: {drops.meaning}",
        drops.remedy,
    )


def _pool(node: Node, pool: Pool) -> Iterator[Finding]:
    active = [member for member in pool.members if member.is_active]
    hops = node.host.network.next_hops
    silent = [
        member
        for member in active
        if (hop := hops.get(member.address)) is None or hop.mac is None
    ]
    for member in silent[:_NAMED]:
        is_routed = member.address in hops
        yield _error(
            "backend-unreachable",
            f"backend {pool.service}/{member.name} at {member.address} has no "
            + ("MAC: its next hop answers nobody" if is_routed else "route to it"),
            f"`ip route get {member.address}`, and look at the host and its cable",
        )
    if node.daemon is None:
        return
    if not any(member.share for member in pool.members):
        yield _error(
            "nobody-serves",
            f"service {pool.service} has nobody who serves",
            f"see why: `guideway service show {pool.service}`",
        )
    down = [m for m in active if m.health == "down" and m not in silent]
    for member in down[:_NAMED]:
        yield _warning(
            "backend-down",
            f"backend {pool.service}/{member.name} is down: {member.reason}",
            f"look at what answers at {member.address}",
        )
    if hidden := len(silent[_NAMED:]) + len(down[_NAMED:]):
        yield _warning(
            "more-backends",
            f"{hidden} more backends of {pool.service} are in trouble",
            f"`guideway backend list {pool.service}` has all of them",
        )


def _error(code: str, problem: str, remedy: str) -> Finding:
    return Finding(code, Severity.ERROR, problem, remedy)


def _warning(code: str, problem: str, remedy: str) -> Finding:
    return Finding(code, Severity.WARNING, problem, remedy)


def _note(code: str, problem: str, remedy: str) -> Finding:
    return Finding(code, Severity.NOTE, problem, remedy)
