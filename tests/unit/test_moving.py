"""A service may get another name and another place."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from control.compile import compile_image
from control.desired import DesiredState
from control.errors import ConflictError
from control.facts import Facts, Interface, Moment, Network, NextHop
from control.model import Backend, Mode, Protocol, Service
from control.moving import following, with_changed
from control.pool_policy import PoolPolicy, SorryServer
from control.rounds import Settings
from control.tables import Tables
from dataplane.image import Image
from dataplane.source import Limits

BACKEND = Backend("a", IPv4Address("10.0.0.1"), 80)
SORRY = SorryServer(IPv4Address("10.0.0.9"), 80)
WEB = Service(
    "web",
    IPv4Address("192.0.2.1"),
    Protocol.TCP,
    80,
    Mode.NAT,
    (BACKEND,),
    checks=(),
    pool=PoolPolicy(sorry_server=SORRY),
)


@pytest.mark.parametrize(
    ("before", "mode", "after", "listens_at"),
    [
        (80, Mode.NAT, 8080, 80),  # where clients ask says nothing of where servers listen
        (80, Mode.DR, 8080, 8080),  # DR cannot change ports
        (80, Mode.NAT, 0, 0),  # every port, and then every port of the server
        (0, Mode.NAT, 80, 80),
        (80, Mode.DR, 80, 80),
    ],
)
def test_backends_follow_a_port_where_they_have_to(
    before: int, mode: Mode, after: int, listens_at: int
) -> None:
    service = replace(
        WEB,
        port=before,
        backends=(replace(BACKEND, port=before),),
        pool=PoolPolicy(sorry_server=replace(SORRY, port=before)),
    )

    backends, pool = following(service, mode, after)

    assert [one.port for one in backends] == [listens_at]
    assert pool.sorry_server
    assert pool.sorry_server.port == listens_at
    assert replace(service, port=after, mode=mode, backends=backends, pool=pool)


def test_a_service_that_changes_stays_where_it_is_in_the_order() -> None:
    mail, www = replace(WEB, name="mail", port=25), replace(WEB, name="www")

    assert with_changed(DesiredState((WEB, mail)), WEB, www) == DesiredState((www, mail))


def test_a_renamed_service_leaves_the_maps_as_they_are() -> None:
    hops = {BACKEND.address: NextHop("eth0", 3, b"\2\0\0\0\0\1", b"\2\0\0\0\1\1")}
    facts = Facts(Network((Interface("eth0", 3, b"\2\0\0\0\0\1"),), next_hops=hops))
    before = DesiredState((WEB,))
    after = with_changed(before, WEB, replace(WEB, name="www"))

    def compiled(state: DesiredState, known: Image) -> Image:
        settings = Settings(Limits(), 7, ())
        return compile_image(state, facts, settings, known, Tables(), Moment(1)).image

    known = compiled(before, Image())

    assert known.services
    assert compiled(after, known) == known


def test_the_name_of_another_service_is_refused() -> None:
    mail = replace(WEB, name="mail", port=25)

    with pytest.raises(ConflictError, match="service 'mail' exists already"):
        with_changed(DesiredState((WEB, mail)), WEB, replace(WEB, name="mail"))
