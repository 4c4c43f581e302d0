"""Strategies for valid desired states."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from string import ascii_letters, digits

from hypothesis import strategies as st

from control.check_common import (
    BUILT_IN,
    MAX_COUNT,
    MAX_JITTER,
    MAX_SECONDS,
    MIN_SECONDS,
    CheckDefaults,
    Initial,
    NetworkCheck,
    PortCheck,
    Via,
)
from control.checks import CHECKS, DNS_RCODES, AnyCheck, UdpCheck
from control.desired import DesiredState
from control.model import (
    MAX_WEIGHT,
    Affinity,
    Backend,
    BackendState,
    Hash,
    Mode,
    Protocol,
    Returns,
    Service,
)
from control.pool_policy import (
    EACH_BY_ITSELF,
    MAX_QUORUM,
    PoolPolicy,
    SorryServer,
    WhenAllDown,
)
from control.value_rules import MAX_NAME

names = st.text(ascii_letters + digits + ".-_:", min_size=1, max_size=MAX_NAME)
seconds = st.floats(min_value=MIN_SECONDS, max_value=MAX_SECONDS)
counts = st.integers(1, MAX_COUNT)
ports = st.integers(1, 65535)
# By IP version: where VIPs are, and, for each service, where its backends are.
_VIPS = {4: IPv4Address("192.0.2.0"), 6: IPv6Address("2001:db8::")}
_BACKENDS = {4: IPv4Address("10.0.0.0"), 6: IPv6Address("2001:db8:1::")}
_HOSTS = st.sampled_from(["a.example", "web-1", "192.0.2.7", "2001:db8::7"])
_PATHS = st.sampled_from(["/", "/health?of=all&a={address}", "/run/checks/{port}"])
_COMMON = {
    "interval": seconds,
    "timeout": seconds,
    "rise": counts,
    "fall": counts,
    "retry_interval": st.none() | seconds,
    "initial": st.sampled_from(Initial),
    "jitter": st.floats(min_value=0, max_value=MAX_JITTER),
    "damping": st.floats(min_value=0, max_value=MAX_SECONDS),
}
check_defaults = st.builds(CheckDefaults, **_COMMON)
_NETWORK = {  # no source: it has to be of the service's family
    "interface": st.none() | st.sampled_from(["eth0", "bond0.10"]),
}
_TLS = {"ca": st.none() | _PATHS, "sni": st.none() | _HOSTS}
_HTTP = {
    "method": st.sampled_from(["GET", "OPTIONS"]),
    "path": _PATHS,
    "host": st.none() | st.sampled_from(["a.example", "a.example:8080", "[::1]:80"]),
    "headers": st.dictionaries(
        st.sampled_from(["X-A", "Accept", "cookie"]), st.sampled_from(["", "a, b=c"])
    ).map(lambda given: tuple(sorted(given.items()))),
    "status": st.sampled_from(["200-299", "200", "200, 301-302,404"]),
    "regex": st.none() | st.sampled_from(["ok", "a,b", "^[a-z]+ é$"]),
    "digest": st.none() | st.sampled_from(["0123456789abcdef" * n for n in (2, 4)]),
}
_PARTICULAR = {
    "tls": _TLS,
    "http": _HTTP,
    "https": _HTTP | _TLS,
    "udp": {
        "payload": st.sampled_from(["", "ping", "a,b", "hex:00ff 10"]),
        "reply": st.none() | st.sampled_from(["pong", "hex:0X ff"]),
    },
    "dns": {
        "name": st.sampled_from([".", "a.example", "_dmarc.a.example."]),
        "record": st.just("A"),
        "rcode": st.sampled_from(DNS_RCODES),
        "address": st.none() | st.just("192.0.2.7"),
    },
    "exec": {
        "command": st.sampled_from([("/bin/true",), ("/bin/sh", "-c", "", "a b")]),
        "dynamic": st.booleans(),
    },
    "grpc": _TLS | {"service": st.sampled_from(["", "a.b"]), "tls": st.just(value=True)},
    "icmp": {"port": st.none()},
    "smtp": {"helo": _HOSTS},
    "file": {"path": _PATHS},
}
checks = st.one_of(
    [
        st.builds(
            check,
            **(
                _COMMON
                | {"port": st.none() | ports}
                | (_NETWORK if issubclass(check, NetworkCheck) else {})
                | _PARTICULAR.get(kind, {})
            ),
        )
        for kind, check in CHECKS.items()
    ]
)


# Unix times up to the year 9999, in milliseconds.
deadlines = st.integers(0, 253_402_300_799_000).map(lambda ms: ms / 1000)


@st.composite
def pools(draw: st.DrawFn, sorry: SorryServer, protocol: Protocol) -> PoolPolicy:
    """Draw a policy of which the sorry server, if there is one, is ``sorry``."""
    server = draw(st.none() | st.just(sorry))
    when = [one for one in WhenAllDown if not server or one is not WhenAllDown.NONE]
    quorum = draw(st.integers(1, MAX_QUORUM))
    return PoolPolicy(
        quorum=quorum,
        hysteresis=draw(st.integers(0, quorum - 1)),
        sorry_server=server,
        when_all_down=draw(st.sampled_from(when)),
        keep_flows=draw(st.booleans()),
        max_ejected=draw(st.floats(0, 1)),
        slow_start=draw(st.floats(0, 3600)),
        watch_handshakes=protocol is Protocol.TCP and draw(st.booleans()),
    )


def _through(mode: Mode) -> st.SearchStrategy[AnyCheck]:
    """Return what draws checks, some through the VIP where that is possible."""
    through = checks.filter(
        lambda check: (
            isinstance(check, PortCheck)
            and check.interface is None
            and not (isinstance(check, UdpCheck) and check.reply is None)
        )
    ).map(lambda check: replace(check, via=Via.VIP))
    return checks | through if mode is Mode.DR else checks


def _several(mode: Mode, most: int) -> st.SearchStrategy[tuple[AnyCheck, ...]]:
    return st.lists(_through(mode), max_size=most, unique=True).map(tuple)


@st.composite
def services(draw: st.DrawFn, index: int) -> Service:
    """Draw the service number ``index``."""
    version = draw(st.sampled_from([4, 6]))
    mode = draw(st.sampled_from(Mode))
    port = draw(ports)
    hosts = draw(st.lists(st.integers(1, 250), unique=True, max_size=4))
    backend_names = draw(
        st.lists(names, unique=True, min_size=len(hosts), max_size=len(hosts))
    )
    backends = [
        Backend(
            name=name,
            address=_BACKENDS[version] + host,
            port=port if mode is Mode.DR else draw(ports),
            weight=draw(st.integers(0, MAX_WEIGHT)),
            state=draw(st.sampled_from(BackendState)),
            zone=draw(st.just("") | names),
            checks=draw(st.none() | _several(mode, 2)),
        )
        for name, host in zip(backend_names, hosts, strict=True)
    ]
    backends = [
        replace(one, drain_deadline=draw(st.none() | deadlines))
        if one.state is BackendState.DRAINING
        else one
        for one in backends
    ]
    protocol = draw(st.sampled_from(Protocol))
    return Service(
        name=f"{draw(names)[: MAX_NAME - 4]}-{index}",
        vip=_VIPS[version] + draw(st.integers(0, 255)),
        protocol=protocol,
        port=port,
        mode=mode,
        backends=tuple(backends),
        checks=draw(_several(mode, 3)),
        check_defaults=draw(st.just(BUILT_IN) | check_defaults),
        ring_size=draw(st.sampled_from([None, 11, 4093, 65537])),
        affinity=draw(st.sampled_from(Affinity)),
        hash=draw(st.sampled_from(Hash)),
        returns=draw(st.sampled_from(Returns)) if mode is Mode.NAT else Returns.STATELESS,
        pool=draw(
            st.just(EACH_BY_ITSELF)
            | pools(SorryServer(_BACKENDS[version] + 251, port), protocol)
        )
        if "sorry" not in backend_names
        else EACH_BY_ITSELF,
    )


@st.composite
def desired_states(draw: st.DrawFn) -> DesiredState:
    """Draw a state of up to three services."""
    drawn = [draw(services(index)) for index in range(draw(st.integers(0, 3)))]
    places = {(one.vip, one.protocol, one.port): one for one in drawn}
    return DesiredState(tuple(places.values()))
