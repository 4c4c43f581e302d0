"""A client of the API's service Configuration, and short ways to say what is wanted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from control.api.address import target
from control.api.convert_configuration import state_from_pb, state_to_pb
from control.api.v1 import configuration_pb2 as pb
from control.api.v1.configuration_pb2_grpc import ConfigurationStub
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.config import parse_services
from control.desired import DesiredState
from tests.support.running_api import Node, running_api


@dataclass
class Api:
    """Both services of the API, and the node behind them."""

    configuration: ConfigurationStub
    load_balancer: LoadBalancerStub
    node: Node

    def apply(self, state: DesiredState, **options) -> pb.ApplyResponse:
        """Apply ``state``; ``options`` are fields of the request."""
        request = pb.ApplyRequest(state=state_to_pb(state), **options)
        return self.configuration.Apply(request)

    def exported(self) -> tuple[int, DesiredState]:
        """Return the desired state and its version, as the API has it."""
        answer = self.configuration.Export(pb.ExportRequest())
        return answer.version, state_from_pb(answer.state)


@contextmanager
def configuration_api(directory: Path) -> Iterator[Api]:
    """Serve the API and connect to it."""
    with (
        running_api(directory) as (socket, node),
        grpc.insecure_channel(target(socket)) as channel,
    ):
        yield Api(ConfigurationStub(channel), LoadBalancerStub(channel), node)


def web(*weights: int, name: str = "web") -> DesiredState:
    """Return a state of one service with backends b0, b1 … of these weights."""
    backends = ", ".join(
        f"{{name: b{number}, address: 10.0.0.{number + 1}, weight: {weight}}}"
        for number, weight in enumerate(weights)
    )
    service = f"name: {name}, vip: 192.0.2.1, port: 80, mode: dr, backends: [{backends}]"
    return parse_services(f"services: [{{{service}}}]", "test")[0]
