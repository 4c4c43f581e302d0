"""Strategies for valid desired states."""

from ipaddress import IPv4Address, IPv6Address
from string import ascii_letters, digits

from hypothesis import strategies as st

from control.model import (
    MAX_COUNT,
    MAX_NAME,
    MAX_SECONDS,
    MAX_WEIGHT,
    MIN_SECONDS,
    Affinity,
    Backend,
    BackendState,
    DesiredState,
    Hash,
    Mode,
    Protocol,
    Returns,
    Service,
    TcpCheck,
)

names = st.text(ascii_letters + digits + ".-_:", min_size=1, max_size=MAX_NAME)
seconds = st.floats(min_value=MIN_SECONDS, max_value=MAX_SECONDS)
counts = st.integers(1, MAX_COUNT)
ports = st.integers(1, 65535)
# By IP version: where VIPs are, and, for each service, where its backends are.
_VIPS = {4: IPv4Address("192.0.2.0"), 6: IPv6Address("2001:db8::")}
_BACKENDS = {4: IPv4Address("10.0.0.0"), 6: IPv6Address("2001:db8:1::")}
checks = st.builds(
    TcpCheck,
    interval=seconds,
    timeout=seconds,
    rise=counts,
    fall=counts,
    port=st.none() | ports,
)


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
        )
        for name, host in zip(backend_names, hosts, strict=True)
    ]
    return Service(
        name=f"{draw(names)[: MAX_NAME - 4]}-{index}",
        vip=_VIPS[version] + draw(st.integers(0, 255)),
        protocol=draw(st.sampled_from(Protocol)),
        port=port,
        mode=mode,
        backends=tuple(backends),
        check=draw(st.none() | checks),
        ring_size=draw(st.sampled_from([None, 11, 4093, 65537])),
        affinity=draw(st.sampled_from(Affinity)),
        hash=draw(st.sampled_from(Hash)),
        returns=draw(st.sampled_from(Returns)) if mode is Mode.NAT else Returns.STATELESS,
    )


@st.composite
def desired_states(draw: st.DrawFn) -> DesiredState:
    """Draw a state of up to three services."""
    drawn = [draw(services(index)) for index in range(draw(st.integers(0, 3)))]
    places = {(one.vip, one.protocol, one.port): one for one in drawn}
    return DesiredState(tuple(places.values()))
