"""What a change would do, asked for by the request that would make it."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from control.access import Role
from control.api import roles
from control.api.identity import Identities, Peer
from control.api.v1 import configuration_pb2, difference_pb2
from control.api.v1 import guideway_pb2 as pb
from control.model import Protocol
from tests.support.api_client import ADD_WEB, WEB, Api, api_client

NEW = pb.AddServiceRequest(
    service=pb.Service(
        name="new", vip="192.0.2.11", protocol=WEB.protocol, port=80, mode=WEB.mode
    )
)
BACKEND = pb.Backend(address="10.0.0.2")
CHANGES = {
    "AddService": NEW,
    "ChangeService": pb.ChangeServiceRequest(name="web", new_name="www"),
    "RemoveService": pb.RemoveServiceRequest(name="web"),
    "AddBackend": pb.AddBackendRequest(service="web", backend=BACKEND),
    "SetBackend": pb.SetBackendRequest(service="web", backend="10.0.0.1", weight=0),
    "RemoveBackend": pb.RemoveBackendRequest(service="web", backend="10.0.0.1"),
}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_client(tmp_path) as api:
        api.stub.AddService(ADD_WEB)
        yield api


def test_every_change_of_one_thing_can_be_tried() -> None:
    changing = {
        name
        for name, rule in roles.RULES["guideway.v1.LoadBalancer"].items()
        if "dry_run" in getattr(pb, f"{name}Request").DESCRIPTOR.fields_by_name
        or (rule.role is Role.CHANGE and "DataPlane" not in name)
    }

    assert changing == CHANGES.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_a_trial_says_what_the_change_does_and_changes_nothing(
    api: Api, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Peer("eve", Role.VIEW, "unix")
    before, request = api.state, type(CHANGES[name])()
    request.CopyFrom(CHANGES[name])
    request.dry_run = True

    with monkeypatch.context() as looking:
        looking.setattr(Identities, "peer_of", lambda *_: viewer)
        foreseen = getattr(api.stub, name)(request)

    assert (foreseen.version, api.node.store.version, api.state) == (1, 1, before)
    request.dry_run = False
    made = getattr(api.stub, name)(request)
    assert made.version == 2
    assert not made.HasField("difference")
    assert (foreseen.unchanged, made.unchanged) == (False, False)
    assert [one.name for one in foreseen.difference.services] == [
        {"AddService": "new", "ChangeService": "www"}.get(name, "web")
    ]


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_so_already_is_answered_as_unchanged(api: Api, *, dry_run: bool) -> None:
    changed = api.stub.ChangeService(
        pb.ChangeServiceRequest(name="web", port=WEB.port, dry_run=dry_run)
    )
    set_ = api.stub.SetBackend(
        pb.SetBackendRequest(service="web", backend="10.0.0.1", weight=1, dry_run=dry_run)
    )

    assert [(one.unchanged, one.version) for one in (changed, set_)] == [(True, 1)] * 2
    assert api.node.store.version == 1


@pytest.mark.parametrize("name", CHANGES)
def test_a_trial_is_refused_as_the_change_would_be(api: Api, name: str) -> None:
    api.stub.RemoveService(pb.RemoveServiceRequest(name="web"))
    api.stub.AddService(NEW)
    request = type(CHANGES[name])()
    request.CopyFrom(CHANGES[name])
    said = set()

    for request.dry_run in (True, False):
        with pytest.raises(grpc.RpcError) as raised:
            getattr(api.stub, name)(request)
        said.add((raised.value.code(), raised.value.details()))

    assert len(said) == 1
    assert api.node.store.version == 3


def test_a_trial_foresees_what_it_does_to_flows(api: Api) -> None:
    request = pb.AddBackendRequest(service="web", backend=BACKEND, dry_run=True)

    (service,) = api.stub.AddBackend(request).difference.services

    assert service.change == difference_pb2.CHANGE_CHANGED
    assert 0.4 < service.disruption.flows < 0.6
    assert service.disruption.broken == 0
    shares = {one.backend: one for one in service.disruption.shares}
    assert (shares["10.0.0.2"].weight_before, shares["10.0.0.2"].weight_after) == (0, 1)
    assert shares["10.0.0.1"].slots_before == service.disruption.slots_before


def test_who_may_only_view_may_try_a_whole_state(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Peer("eve", Role.VIEW, "unix")
    monkeypatch.setattr(Identities, "peer_of", lambda *_: viewer)
    nothing = configuration_pb2.DesiredState()

    tried = api.configuration.Apply(
        configuration_pb2.ApplyRequest(state=nothing, dry_run=True)
    )
    rolled = api.configuration.Rollback(
        configuration_pb2.RollbackRequest(version=0, dry_run=True)
    )

    assert tried == rolled
    assert [one.change for one in tried.difference.services] == [
        difference_pb2.CHANGE_REMOVED
    ]
    with pytest.raises(grpc.RpcError) as raised:
        api.configuration.Apply(configuration_pb2.ApplyRequest(state=nothing))
    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert api.node.store.version == 1


def test_a_service_gets_another_name_and_place(api: Api) -> None:
    api.stub.ChangeService(
        pb.ChangeServiceRequest(
            name="web", new_name="dns", vip="192.0.2.53", protocol=pb.PROTOCOL_UDP, port=53
        )
    )

    (service,) = api.state
    assert (service.name, service.where) == ("dns", "192.0.2.53:53/udp")
    assert service.protocol is Protocol.UDP
    assert service.backends[0].port == 53  # by dr


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"new_name": "mail"}, "service 'mail' exists already"),
        ({"new_name": ""}, "service name: '' is not a name"),
        ({"vip": "nope"}, "vip: 'nope' is not an IP address"),
        ({"vip": "2001:db8::1"}, "both have to be of one family"),
        ({"vip": "10.0.0.1"}, "10.0.0.1 is the VIP itself"),
        ({"port": 70000}, "port 70000 is not in 0…65535"),
        (
            {"port": 25},
            "service 'web': 192.0.2.10:25/tcp belongs to service 'mail'",
        ),
        ({"protocol": 9}, "protocol: 9 is unknown: tcp or udp"),
        ({"mode": 9}, "mode: 9 is unknown: dr or nat"),
        ({"hash": 9}, "hash: 9 is unknown: flow or source"),
    ],
)
def test_a_name_or_place_that_cannot_be_is_refused(
    api: Api, change: dict[str, object], sentence: str
) -> None:
    mail = pb.Service(
        name="mail", vip=WEB.vip, protocol=WEB.protocol, port=25, mode=WEB.mode
    )
    api.stub.AddService(pb.AddServiceRequest(service=mail))

    with pytest.raises(grpc.RpcError) as raised:
        api.stub.ChangeService(pb.ChangeServiceRequest(name="web", **change))

    assert sentence in raised.value.details()
    assert api.node.store.version == 2
