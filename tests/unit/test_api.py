"""The API over a real channel: the whole way from a client to the store and back."""

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from control.api.v1 import guideway_pb2 as pb
from control.checks import TcpCheck
from control.desired import DesiredState
from control.model import Affinity, BackendState, Hash, Mode
from tests.support.api_client import ADD_WEB, WEB, Api, api_client
from tests.support.running_api import BACKEND_MAC, STARTED, VLAN

DEFAULT_POOL = pb.PoolPolicy(
    quorum=1,
    hysteresis=0,
    sorry_server="",
    when_all_down=pb.WHEN_ALL_DOWN_SORRY,
    keep_flows=False,
    max_ejected=1.0,
    slow_start=0.0,
    watch_handshakes=False,
)
DEFAULT_CHECK = pb.HealthCheck(
    tcp=pb.TcpCheck(
        interval=1,
        timeout=1,
        rise=2,
        fall=3,
        port=0,
        retry_interval=0,
        initial=pb.INITIAL_FIRST,
        jitter=0.1,
        damping=0,
        source="",
        interface="",
        via=pb.VIA_BACKEND,
    )
)

DEFAULT_CHECK_DEFAULTS = pb.CheckDefaults(
    interval=1,
    timeout=1,
    rise=2,
    fall=3,
    retry_interval=0,
    initial=pb.INITIAL_FIRST,
    jitter=0.1,
    damping=0,
)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with api_client(tmp_path) as api:
        yield api


def test_an_added_service_is_listed_with_what_was_left_out(api: Api) -> None:
    assert api.stub.AddService(ADD_WEB) == pb.AddServiceResponse(version=1)

    settings = pb.Service()
    settings.CopyFrom(WEB)
    settings.check.CopyFrom(DEFAULT_CHECK)
    settings.checks.append(DEFAULT_CHECK)
    settings.affinity, settings.hash = pb.AFFINITY_TRANSITION, pb.HASH_FLOW
    settings.returns = pb.RETURNS_STATELESS
    settings.pool.CopyFrom(DEFAULT_POOL)
    settings.check_defaults.CopyFrom(DEFAULT_CHECK_DEFAULTS)
    web = pb.ServiceStatus(
        service=settings,
        ring_size=4093,
        backends=[
            pb.BackendStatus(
                backend=pb.Backend(
                    name="10.0.0.1",
                    address="10.0.0.1",
                    port=80,
                    weight=1,
                    state=pb.BACKEND_STATE_ACTIVE,
                ),
                health=pb.HEALTH_UP,
                share=1.0,
                mac=BACKEND_MAC,
            )
        ],
    )
    listed = api.stub.ListServices(pb.ListServicesRequest())
    assert listed == pb.ListServicesResponse(services=[web])
    shown = api.stub.GetService(pb.GetServiceRequest(name="web"))
    assert shown == pb.GetServiceResponse(service=web)


def test_a_backend_that_is_down_says_why_and_since_when(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    api.node.down["10.0.0.1"] = "health check: connection refused"

    shown = api.stub.GetService(pb.GetServiceRequest(name="web"))

    (backend,) = shown.service.backends
    assert backend.health == pb.HEALTH_DOWN
    assert backend.reason == "health check: connection refused"
    assert backend.since == STARTED
    assert (backend.share, backend.HasField("mac")) == (0.0, False)


def test_a_change_touches_only_what_is_given(api: Api) -> None:
    api.stub.AddService(ADD_WEB)

    def change(**changed: object) -> None:
        api.stub.ChangeService(pb.ChangeServiceRequest(name="web", **changed))

    change(check=pb.HealthCheck(tcp=pb.TcpCheck(interval=0.5, port=8080)))
    change(check=pb.HealthCheck(tcp=pb.TcpCheck(fall=5)))
    assert api.state.service("web").checks == (TcpCheck(interval=0.5, fall=5, port=8080),)

    change(check=pb.HealthCheck(tcp=pb.TcpCheck(port=0)), ring_size=4093)
    assert api.state.service("web").checks == (TcpCheck(interval=0.5, fall=5),)
    assert api.state.service("web").ring_size == 4093

    change(check=pb.HealthCheck(none=pb.NoCheck()), mode=pb.MODE_NAT)
    assert api.state.service("web").checks == ()
    assert api.state.service("web").mode is Mode.NAT

    change(check=pb.HealthCheck(tcp=pb.TcpCheck(rise=1)), ring_size=0)
    assert api.state.service("web").checks == (TcpCheck(rise=1),)
    assert api.state.service("web").ring_size is None


def test_affinity_and_hash_are_changed_where_they_are_given(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    web = api.state.service("web")
    assert (web.affinity, web.hash) == (Affinity.TRANSITION, Hash.FLOW)

    api.stub.ChangeService(pb.ChangeServiceRequest(name="web", affinity=pb.AFFINITY_ALWAYS))
    api.stub.ChangeService(pb.ChangeServiceRequest(name="web", hash=pb.HASH_SOURCE))

    web = api.state.service("web")
    assert (web.affinity, web.hash) == (Affinity.ALWAYS, Hash.SOURCE)
    (shown,) = api.stub.ListServices(pb.ListServicesRequest()).services
    assert (shown.service.affinity, shown.service.hash) == (
        pb.AFFINITY_ALWAYS,
        pb.HASH_SOURCE,
    )


def test_backends_come_change_and_go(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    new = pb.Backend(name="b", address="10.0.0.2", weight=0)

    added = api.stub.AddBackend(pb.AddBackendRequest(service="web", backend=new))
    assert (added.version, api.state.service("web").backend("b").weight) == (2, 0)

    weight = pb.SetBackendRequest(service="web", backend="b", weight=7)
    assert api.stub.SetBackend(weight).version == 3
    draining = pb.SetBackendRequest(
        service="web", backend="b", state=pb.BACKEND_STATE_DRAINING
    )
    assert api.stub.SetBackend(draining).version == 4
    backend = api.state.service("web").backend("b")
    assert (backend.weight, backend.state) == (7, BackendState.DRAINING)

    gone = api.stub.RemoveBackend(pb.RemoveBackendRequest(service="web", backend="b"))
    assert (gone.version, len(api.state.service("web").backends)) == (5, 1)
    assert api.stub.RemoveService(pb.RemoveServiceRequest(name="web")).version == 6
    assert api.state == DesiredState()


def test_what_is_so_already_makes_no_version(api: Api) -> None:
    api.stub.AddService(ADD_WEB)

    same = pb.SetBackendRequest(service="web", backend="10.0.0.1", weight=1)

    assert api.stub.SetBackend(same).version == 1


def test_statistics_and_status_are_the_observers(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    each = pb.Traffic(packets=100, bytes=6400, flows=5)

    assert api.stub.GetStatistics(pb.GetStatisticsRequest()) == pb.GetStatisticsResponse(
        reasons=[
            pb.ReasonTraffic(
                reason="forwarded_dr",
                verdict=pb.VERDICT_FORWARD,
                meaning="sent to a backend",
                traffic=each,
            ),
            pb.ReasonTraffic(
                reason="malformed",
                verdict=pb.VERDICT_DROP,
                meaning="cut short",
                traffic=pb.Traffic(),
            ),
        ],
        services=[pb.ServiceTraffic(service="web", traffic=each)],
        backends=[pb.BackendTraffic(service="web", backend="10.0.0.1", traffic=each)],
    )
    assert api.stub.GetStatus(pb.GetStatusRequest()) == pb.GetStatusResponse(
        node=pb.NodeStatus(
            release="0.1.0",
            instance="default",
            abi=1,
            digest="0123456789abcdef",
            interfaces=[
                pb.InterfaceStatus(
                    name="eth0",
                    mode=pb.XDP_MODE_NATIVE,
                    vlans=[pb.VlanStatus(name=VLAN.name, tags=VLAN.tags)],
                )
            ],
            adopted=True,
            desired_version=1,
            applied_version=1,
            started=STARTED,
        )
    )


def test_what_is_given_of_a_policy_is_changed_and_the_rest_stays(api: Api) -> None:
    api.stub.AddService(ADD_WEB)

    for given in (
        pb.PoolPolicy(quorum=3, sorry_server="10.0.0.9"),
        pb.PoolPolicy(hysteresis=2, keep_flows=True),
        pb.PoolPolicy(when_all_down=pb.WHEN_ALL_DOWN_ALL, max_ejected=0.5, slow_start=9),
        pb.PoolPolicy(watch_handshakes=True),
    ):
        api.stub.ChangeService(pb.ChangeServiceRequest(name="web", pool=given))

    shown = api.stub.GetService(pb.GetServiceRequest(name="web"))
    assert shown.service.service.pool == pb.PoolPolicy(
        quorum=3,
        hysteresis=2,
        sorry_server="10.0.0.9:80",
        when_all_down=pb.WHEN_ALL_DOWN_ALL,
        keep_flows=True,
        max_ejected=0.5,
        slow_start=9.0,
        watch_handshakes=True,
    )
    none = pb.PoolPolicy(sorry_server="")
    api.stub.ChangeService(pb.ChangeServiceRequest(name="web", pool=none))
    shown = api.stub.GetService(pb.GetServiceRequest(name="web"))
    assert shown.service.service.pool.sorry_server == ""


@pytest.mark.parametrize(
    ("policy", "field", "sentence"),
    [
        (pb.PoolPolicy(quorum=0), "pool.quorum", "quorum 0 is not in 1"),
        (pb.PoolPolicy(hysteresis=1), "pool.hysteresis", "below the quorum"),
        (pb.PoolPolicy(sorry_server="b3"), "pool.sorry_server", "'b3' is not an IP"),
        (pb.PoolPolicy(sorry_server="10.0.0.9:x"), "pool.sorry_server", "'x' is no port"),
        (pb.PoolPolicy(when_all_down=9), "pool.when_all_down", "9 is unknown: sorry,"),
    ],
)
def test_a_policy_that_cannot_be_names_its_field(
    api: Api, policy: pb.PoolPolicy, field: str, sentence: str
) -> None:
    api.stub.AddService(ADD_WEB)

    with pytest.raises(grpc.RpcError) as refused:
        api.stub.ChangeService(pb.ChangeServiceRequest(name="web", pool=policy))

    assert sentence in refused.value.details()
    status = rpc_status.from_call(refused.value)
    bad = BadRequest()
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [one.field for one in bad.field_violations] == [field]


def test_a_drain_has_the_time_that_is_asked_for(api: Api) -> None:
    api.stub.AddService(ADD_WEB)
    before = time.time()
    drain = pb.SetBackendRequest(
        service="web",
        backend="10.0.0.1",
        state=pb.BACKEND_STATE_DRAINING,
        drain_within=600,
    )

    api.stub.SetBackend(drain)

    (backend,) = api.stub.GetService(pb.GetServiceRequest(name="web")).service.backends
    assert before + 599 < backend.backend.drain_deadline < time.time() + 601


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"drain_within": 0}, "0 is not above 0 and up to 31536000 seconds"),
        ({"drain_within": float("nan")}, "nan is not above 0"),
        ({"drain_within": 5}, "goes with state draining, not with active"),
    ],
)
def test_a_drain_that_cannot_be_is_refused(api: Api, changes, sentence: str) -> None:
    api.stub.AddService(ADD_WEB)

    with pytest.raises(grpc.RpcError) as refused:
        api.stub.SetBackend(
            pb.SetBackendRequest(service="web", backend="10.0.0.1", **changes)
        )

    assert sentence in refused.value.details()
