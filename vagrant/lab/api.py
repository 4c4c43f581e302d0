"""A client of one node's guidewayd, for those who wait for something to happen there."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import grpc

from control.api.address import target
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from vagrant.lab.errors import LabError, UnreachableError
from vagrant.lab.wait import PATIENCE

_TIMEOUT: Final = 10.0 * PATIENCE  # seconds; who is not there refuses at once
_NOBODY_THERE: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
Answer = TypeVar("Answer")


class Api:
    """Asks over the node's unix socket; every call connects anew.

    A node is stopped, killed and started again here: a kept connection would wait between
    its attempts to connect, just when someone measures how long something takes.
    """

    def __init__(self, socket: Path) -> None:
        self._target = target(socket)

    def answers(self) -> bool:
        """Return whether guidewayd is there and has told the kernel what it was told."""
        try:
            node = self.status()
        except UnreachableError:
            return False
        return node.applied_version == node.desired_version

    def status(self) -> pb.NodeStatus:
        """Return how the node is."""
        request = pb.GetStatusRequest()
        return self._ask(lambda stub: stub.GetStatus(request, timeout=_TIMEOUT)).node

    def service(self, name: str) -> pb.ServiceStatus:
        """Return how the node serves the service ``name``."""
        request = pb.GetServiceRequest(name=name)
        return self._ask(lambda stub: stub.GetService(request, timeout=_TIMEOUT)).service

    def backend(self, service: str, name: str) -> pb.GetBackendResponse:
        """Return one backend with its probes."""
        request = pb.GetBackendRequest(service=service, backend=name)
        return self._ask(lambda stub: stub.GetBackend(request, timeout=_TIMEOUT))

    def services(self) -> Sequence[pb.ServiceStatus]:
        """Return how the node serves all services."""
        request = pb.ListServicesRequest()
        return self._ask(lambda stub: stub.ListServices(request, timeout=_TIMEOUT)).services

    def shares(self, service: str) -> dict[str, float]:
        """Return which part of the service's slots each backend has, 0 to 1."""
        return {each.backend.name: each.share for each in self.service(service).backends}

    def mac(self, service: str, backend: str) -> str:
        """Return the MAC to which the node sends what is for the backend, "" if unknown."""
        backends = self.service(service).backends
        return next(each.mac for each in backends if each.backend.name == backend)

    def statistics(self) -> pb.GetStatisticsResponse:
        """Return what the node has counted."""
        request = pb.GetStatisticsRequest()
        return self._ask(lambda stub: stub.GetStatistics(request, timeout=_TIMEOUT))

    def data_plane(self) -> pb.DataPlane:
        """Return the node's program, links and maps."""
        request = pb.GetDataPlaneRequest()
        answer = self._ask(lambda stub: stub.GetDataPlane(request, timeout=_TIMEOUT))
        return answer.data_plane

    def _ask(self, question: Callable[[LoadBalancerStub], Answer]) -> Answer:
        """Return the answer; raise UnreachableError, or LabError if it is an error."""
        with grpc.insecure_channel(self._target) as channel:
            try:
                return question(LoadBalancerStub(channel))
            except grpc.RpcError as error:
                if not isinstance(
                    error, grpc.Call
                ):  # it always is; the types do not say so
                    raise
                if error.code() in _NOBODY_THERE:
                    raise UnreachableError(self._target) from error
                raise LabError(f"guidewayd at {self._target}: {error.details()}") from error
