"""Who may call what: the table, and the guard that goes by it."""

import asyncio
import importlib
import os
import pkgutil
import pwd
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from structlog.testing import capture_logs

import control.api.v1
from control.access import Role
from control.api import roles
from control.api.address import target
from control.api.audit import Allowance, Audit
from control.api.identity import Identities, Peer
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from tests.support.api_client import ADD_WEB, Api, api_client
from tests.support.running_api import running_api

MODULES = [
    importlib.import_module(f"control.api.v1.{module.name}")
    for module in pkgutil.iter_modules(control.api.v1.__path__)
    if module.name.endswith("_pb2")
]
SERVICES: list[ServiceDescriptor] = [
    service
    for module in (*MODULES, health_pb2, reflection_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
OURS = [service for service in SERVICES if service.full_name.startswith("guideway.")]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_client(tmp_path) as api:
        yield api


def test_every_method_of_every_service_has_a_rule_and_no_other() -> None:
    described = {
        service.full_name: {method.name for method in service.methods}
        for service in SERVICES
    }

    assert {name: set(rules) for name, rules in roles.RULES.items()} == described
    assert len(MODULES) > 1


def test_a_method_that_only_looks_is_named_like_one_and_no_other_is() -> None:
    looking = ("Get", "List", "Watch", "Diff", "Export", "Explain", "Check", "Show")
    viewing = {
        method.full_name: roles.RULES[service.full_name][method.name].role is Role.VIEW
        for service in OURS
        for method in service.methods
    }

    assert {name for name, view in viewing.items() if view} == {
        name for name in viewing if name.rpartition(".")[2].startswith(looking)
    }


def test_a_stream_has_no_deadline_and_everything_else_has_one() -> None:
    for service in SERVICES:
        for method in service.methods:
            rule = roles.RULES[service.full_name][method.name]
            assert (rule.seconds is None) == method.server_streaming, method.full_name


def test_a_method_without_a_rule_is_refused_even_to_root(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roles, "RULES", {"guideway.v1.LoadBalancer": {}})

    with pytest.raises(grpc.RpcError) as raised:
        api.stub.GetStatus(pb.GetStatusRequest())

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "has no role for it, which is a bug" in raised.value.details()


def test_a_method_that_nobody_has_is_unimplemented(tmp_path: Path) -> None:
    with (
        running_api(tmp_path) as (socket, _),
        grpc.insecure_channel(target(socket)) as channel,
    ):
        call = channel.unary_unary("/guideway.v1.LoadBalancer/Fly", lambda _: b"", bytes)
        with pytest.raises(grpc.RpcError) as raised:
            call(None)

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_call_that_takes_too_long_is_given_up(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = {"GetStatistics": roles.Rule(Role.VIEW, seconds=0.05)}
    monkeypatch.setattr(roles, "RULES", {"guideway.v1.LoadBalancer": rules})

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(type(api.node), "statistics", never)

    with pytest.raises(grpc.RpcError) as raised:
        api.stub.GetStatistics(pb.GetStatisticsRequest())

    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert raised.value.details() == "it takes longer than 0.05 s, and was given up"


def test_the_author_of_a_change_is_who_the_kernel_says(tmp_path: Path) -> None:
    with capture_logs() as logs, api_client(tmp_path) as api:
        api.stub.AddService(ADD_WEB)

    (line,) = [line for line in logs if line["event"] == "desired state changed"]
    assert (line["author"], line["version"]) == (_me(), 1)


def test_a_change_that_is_no_version_is_logged_with_who_made_it(tmp_path: Path) -> None:
    with capture_logs() as logs, api_client(tmp_path) as api:
        api.stub.DetachDataPlane(pb.DetachDataPlaneRequest())
        api.stub.AddService(ADD_WEB)
        api.stub.GetStatus(pb.GetStatusRequest())

    made = [line for line in logs if line["event"] == "change made"]
    assert made == [
        {
            "event": "change made",
            "log_level": "info",
            "method": "/guideway.v1.LoadBalancer/DetachDataPlane",
            "author": _me(),
            "via": "unix",
        }
    ]


def test_a_change_that_is_refused_is_logged_and_a_question_is_not(tmp_path: Path) -> None:
    with capture_logs() as logs, api_client(tmp_path) as api:
        for call in (
            lambda: api.stub.AddService(pb.AddServiceRequest()),
            lambda: api.stub.GetService(pb.GetServiceRequest(name="mail")),
        ):
            with pytest.raises(grpc.RpcError):
                call()

    (line,) = [line for line in logs if line["event"] == "change refused"]
    assert line["method"] == "/guideway.v1.LoadBalancer/AddService"
    assert (line["author"], line["code"]) == (_me(), "INVALID_ARGUMENT")
    assert line["problem"] == "service.port: is required; 0 is every port"


def test_refusals_are_logged_as_often_as_a_log_can_bear() -> None:
    now = 0.0
    audit = Audit(clock=lambda: now)
    peer = Peer("mallory", Role.VIEW, "unix")

    with capture_logs() as logs:
        for _ in range(1000):
            audit.refused(peer, "/a/B", "PERMISSION_DENIED", "no")
        now = 1.0
        audit.refused(peer, "/a/B", "PERMISSION_DENIED", "no")

    assert len(logs) == 21
    assert "unlogged" not in logs[19]
    assert logs[20]["unlogged"] == 980


def test_an_allowance_never_grows_beyond_its_burst() -> None:
    allowance = Allowance(burst=2, rate=1)

    answers = [allowance.take(now) for now in (1000, 1000, 1000, 1000.5, 1001)]

    assert answers == [0, 0, None, None, 2]


def test_a_viewer_looks_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Peer("CN=eve,O=audit", Role.VIEW, "tcp 192.0.2.7:40000")
    monkeypatch.setattr(Identities, "peer_of", lambda *_: viewer)

    with capture_logs() as logs, api_client(tmp_path) as api:
        api.stub.ListServices(pb.ListServicesRequest())
        for name, rule in roles.RULES["guideway.v1.LoadBalancer"].items():
            if rule.role is Role.CHANGE:
                request = getattr(pb, f"{name}Request")()
                with pytest.raises(grpc.RpcError) as raised:
                    getattr(api.stub, name)(request)
                assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
                assert raised.value.details() == (
                    f"CN=eve,O=audit may not call /guideway.v1.LoadBalancer/{name}: "
                    "it changes something, and they may only view"
                )

    refused = [line for line in logs if line["event"] == "change refused"]
    assert len(refused) == 8
    assert {(line["author"], line["via"]) for line in refused} == {
        ("CN=eve,O=audit", "tcp 192.0.2.7:40000")
    }
    assert api.node.store.version == 0
    assert not api.node.detached


def test_who_has_no_role_may_not_even_look(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Peer("nobody", Role.NONE, "unknown")
    monkeypatch.setattr(Identities, "peer_of", lambda *_: nobody)

    with pytest.raises(grpc.RpcError) as raised:
        api.stub.GetStatus(pb.GetStatusRequest())

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_grpcs_own_socket_lets_nobody_in_by_itself(tmp_path: Path) -> None:
    with (
        api_client(tmp_path),
        grpc.insecure_channel(f"unix:{tmp_path / 'guidewayd.sock.grpc'}") as channel,
        pytest.raises(grpc.RpcError) as raised,
    ):
        LoadBalancerStub(channel).GetStatus(pb.GetStatusRequest())

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


def _me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
