"""Both ends of a running API."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from control.api.address import target
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.configuration_pb2_grpc import ConfigurationStub
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.desired import DesiredState
from tests.support.running_api import Node, running_api

WEB = pb.Service(
    name="web",
    vip="192.0.2.10",
    protocol=pb.PROTOCOL_TCP,
    port=80,
    mode=pb.MODE_DR,
)
ADD_WEB = pb.AddServiceRequest(service=WEB, backends=[pb.Backend(address="10.0.0.1")])


@dataclass
class Api:
    """A client's end, and the node behind the other."""

    stub: LoadBalancerStub
    node: Node
    configuration: ConfigurationStub

    @property
    def state(self) -> DesiredState:
        """What is wanted now."""
        return self.node.store.state


@contextmanager
def api_client(directory: Path) -> Iterator[Api]:
    """Serve the API and connect to it."""
    with (
        running_api(directory) as (socket, node),
        grpc.insecure_channel(target(socket)) as channel,
    ):
        yield Api(LoadBalancerStub(channel), node, ConfigurationStub(channel))
