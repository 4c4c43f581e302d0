"""Whatever is asked of the API, in whatever order: store, maps and answers say the same."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from control.api.address import target
from control.api.convert import backend_to_pb, service_to_pb
from control.api.convert_configuration import state_from_pb, state_to_pb
from control.api.convert_difference import difference_to_pb
from control.api.v1 import configuration_pb2
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.configuration_pb2_grpc import ConfigurationStub
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.desired import DesiredState
from control.difference import foresee
from control.errors import GuidewayError
from control.facts import Facts, Network, NextHop
from control.model import Backend, BackendState, Mode, Protocol, Service
from control.moving import with_changed
from dataplane.plan import plan
from tests.support.kernel_maps import KernelMaps
from tests.support.running_api import running_api
from tests.unit.test_crashes import ETH0, Step, compiled, new_flows

NUMBERS = st.integers(1, 3)
WEIGHTS = st.integers(0, 2)


def backend(number: int, host: int, weight: int = 1) -> Backend:
    address = IPv4Address(f"10.0.{number}.{host}")
    return Backend(f"b{host}", address, 80, weight)


def service(number: int, hosts: set[int]) -> Service:
    return Service(
        f"s{number}",
        IPv4Address(f"192.0.2.{number}"),
        Protocol.TCP,
        80,
        Mode.NAT,
        tuple(backend(number, host) for host in sorted(hosts)),
        checks=(),
        ring_size=7,
    )


SERVICES = st.builds(service, NUMBERS, st.sets(NUMBERS))
STATES = st.lists(SERVICES, max_size=3, unique_by=lambda one: one.name).map(
    lambda services: DesiredState(tuple(services))
)


class Operators(RuleBasedStateMachine):
    """What is asked, and the list of states that this has to lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(mkdtemp())
        self.states = [DesiredState()]  # by version
        self.pending = False
        self.maps = KernelMaps()
        self.running = ExitStack()
        self.start()

    def start(self) -> None:
        self.running.enter_context(capture_logs())
        socket, self.node = self.running.enter_context(running_api(self.directory))
        channel = self.running.enter_context(grpc.insecure_channel(target(socket)))
        self.balancer = LoadBalancerStub(channel)
        self.configuration = ConfigurationStub(channel)

    def teardown(self) -> None:
        self.running.close()
        shutil.rmtree(self.directory)

    def ask(
        self,
        method: Callable[[Any], Any],
        request: Any,
        change: Callable[[DesiredState], DesiredState],
        *,
        confirm: bool = False,
    ) -> None:
        """Ask for a change, and see that it is made, or refused if the model refuses it.

        Before, it is tried, which comes to the same, and changes nothing.
        """
        now, number = self.states[-1], len(self.states) - 1
        trial = type(request)()
        trial.CopyFrom(request)
        trial.dry_run = True
        try:
            wanted = change(now)
        except GuidewayError:
            for each in (trial, request):
                with pytest.raises(grpc.RpcError):
                    method(each)
            return
        if wanted != now and self.pending and (confirm or wanted != self.states[-2]):
            for each in (trial, request):
                with pytest.raises(grpc.RpcError) as caught:
                    method(each)
                assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            return
        tried = method(trial)
        assert (tried.version, self.node.store.state) == (number, now)
        assert tried.difference == difference_to_pb(
            foresee(now, wanted, self.node.standing())
        )
        if wanted == now:
            assert method(request).version == number
        else:
            assert method(request).version == number + 1
            self.states.append(wanted)
            self.pending = confirm

    @rule(new=SERVICES)
    def add_service(self, new: Service) -> None:
        request = pb.AddServiceRequest(
            service=service_to_pb(new), backends=map(backend_to_pb, new.backends)
        )
        self.ask(
            self.balancer.AddService,
            request,
            lambda state: state.with_new_service(new),
        )

    @rule(number=NUMBERS)
    def remove_service(self, number: int) -> None:
        request = pb.RemoveServiceRequest(name=f"s{number}")
        self.ask(
            self.balancer.RemoveService,
            request,
            lambda state: state.without_service(f"s{number}"),
        )

    @rule(number=NUMBERS, name=NUMBERS)
    def rename_service(self, number: int, name: int) -> None:
        request = pb.ChangeServiceRequest(name=f"s{number}", new_name=f"s{name}")

        def renamed(state: DesiredState) -> DesiredState:
            known = state.service(request.name)
            return with_changed(state, known, replace(known, name=request.new_name))

        self.ask(self.balancer.ChangeService, request, renamed)

    @rule(number=NUMBERS, host=NUMBERS, weight=WEIGHTS)
    def add_backend(self, number: int, host: int, weight: int) -> None:
        new = backend(number, host, weight)
        request = pb.AddBackendRequest(service=f"s{number}", backend=backend_to_pb(new))

        def added(state: DesiredState) -> DesiredState:
            known = state.service(f"s{number}")
            if any(each.name == new.name for each in known.backends):
                raise GuidewayError  # it exists already
            return state.with_service(known.with_backend(new))

        self.ask(self.balancer.AddBackend, request, added)

    @rule(number=NUMBERS, host=NUMBERS, weight=WEIGHTS, state=st.sampled_from(BackendState))
    def set_backend(self, number: int, host: int, weight: int, state: BackendState) -> None:
        spelled = f"BACKEND_STATE_{state.value.upper()}"
        request = pb.SetBackendRequest(
            service=f"s{number}",
            backend=f"b{host}",
            weight=weight,
            state=pb.BackendState.Value(spelled),
        )

        def changed(desired: DesiredState) -> DesiredState:
            known = desired.service(f"s{number}")
            new = replace(known.backend(f"b{host}"), weight=weight, state=state)
            return desired.with_service(known.with_backend(new))

        self.ask(self.balancer.SetBackend, request, changed)

    @rule(number=NUMBERS, host=NUMBERS)
    def remove_backend(self, number: int, host: int) -> None:
        request = pb.RemoveBackendRequest(service=f"s{number}", backend=f"b{host}")
        self.ask(
            self.balancer.RemoveBackend,
            request,
            lambda state: state.with_service(
                state.service(f"s{number}").without_backend(f"b{host}")
            ),
        )

    @rule(wanted=STATES, confirm=st.booleans())
    def apply(self, wanted: DesiredState, confirm: bool) -> None:
        request = configuration_pb2.ApplyRequest(
            state=state_to_pb(wanted), confirm_timeout=3600 if confirm else None
        )
        self.ask(self.configuration.Apply, request, lambda _: wanted, confirm=confirm)

    @rule(back=st.integers(0, 4))
    def roll_back(self, back: int) -> None:
        number = max(len(self.states) - 1 - back, 0)
        request = configuration_pb2.RollbackRequest(version=number)
        self.ask(self.configuration.Rollback, request, lambda _: self.states[number])

    @rule()
    def confirm(self) -> None:
        request = configuration_pb2.ConfirmRequest()
        if self.pending:
            assert self.configuration.Confirm(request).version == len(self.states) - 1
            self.pending = False
        else:
            with pytest.raises(grpc.RpcError):
                self.configuration.Confirm(request)

    @precondition(lambda self: len(self.states) > 1)
    @rule()
    def restart(self) -> None:
        self.running.close()
        self.start()

    @invariant()
    def the_store_has_it(self) -> None:
        assert self.node.store.state == self.states[-1]
        assert self.node.store.version == len(self.states) - 1

    @invariant()
    def the_answers_say_it(self) -> None:
        exported = self.configuration.Export(configuration_pb2.ExportRequest())
        assert (exported.version, state_from_pb(exported.state)) == (
            len(self.states) - 1,
            self.states[-1],
        )
        listed = self.balancer.ListServices(pb.ListServicesRequest()).services
        assert [
            (one.service.name, [each.backend.name for each in one.backends])
            for one in listed
        ] == [(one.name, [each.name for each in one.backends]) for one in self.states[-1]]
        history = self.configuration.ListVersions(configuration_pb2.ListVersionsRequest())
        numbers = [version.version for version in history.versions]
        assert numbers == list(range(len(self.states) - 1, 0, -1))
        assert history.HasField("pending") == self.pending

    @invariant()
    def the_maps_become_it(self) -> None:
        state = self.node.store.state
        hops = {
            each.address: NextHop(
                ETH0.name, ETH0.ifindex, ETH0.mac, each.address.packed + b"\0\0"
            )
            for one in state
            for each in one.backends
        }
        step = Step(state, Facts(Network((ETH0,), next_hops=hops)), 1.0)
        known = self.maps.read()
        wanted = compiled(step, known, len(self.states)).image
        for write in plan(known, wanted):
            self.maps.write(write)
            assert self.maps.dangling() == []
        self.maps.settle()

        reached = {
            endpoint.address: set(ring)
            for endpoint, ring in new_flows(self.maps.read()).items()
        }
        assert self.maps.read() == wanted
        assert reached == {
            one.vip: {each.address for each in one.backends if each.in_table}
            for one in state
        }


TestOperators = Operators.TestCase
TestOperators.settings = settings(
    max_examples=8,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
