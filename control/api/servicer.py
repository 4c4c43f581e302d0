"""``guideway.v1.LoadBalancer`` on top of a store, an observer and the data plane.

Each method converts, calls and converts back. The methods run on the event loop, one at a
time up to their first ``await``, and a change has none: changes do not interleave.
"""

import time

from control.api.claims import source_of
from control.api.comments import comment_or
from control.api.convert import (
    added_backend,
    added_service,
    changed_backend,
    changed_service,
    new_service,
)
from control.api.convert_explain import explanation_to_pb, question_from_pb
from control.api.convert_status import (
    data_plane_to_pb,
    node_to_pb,
    service_status_to_pb,
    statistics_to_pb,
)
from control.api.identity import author_of
from control.api.status_codes import Context, reports_errors
from control.api.v1 import guideway_pb2 as pb
from control.api.v1 import guideway_pb2_grpc as pb_grpc
from control.errors import NotFoundError
from control.status import Observer, Operations
from control.store import Change, Store


class LoadBalancer(pb_grpc.LoadBalancerServicer):
    """The methods are described in guideway.proto."""

    def __init__(self, store: Store, observer: Observer, plane: Operations) -> None:
        self._store = store
        self._observer = observer
        self._plane = plane

    @reports_errors
    async def ListServices(  # noqa: N802
        self, request: pb.ListServicesRequest, context: Context
    ) -> pb.ListServicesResponse:
        """See guideway.proto."""
        services = [service_status_to_pb(status) for status in self._observer.services()]
        return pb.ListServicesResponse(services=services)

    @reports_errors
    async def GetService(  # noqa: N802
        self, request: pb.GetServiceRequest, context: Context
    ) -> pb.GetServiceResponse:
        """See guideway.proto."""
        for status in self._observer.services():
            if status.service.name == request.name:
                return pb.GetServiceResponse(service=service_status_to_pb(status))
        raise NotFoundError("service", request.name)

    @reports_errors
    async def AddService(  # noqa: N802
        self, request: pb.AddServiceRequest, context: Context
    ) -> pb.AddServiceResponse:
        """See guideway.proto."""
        service = new_service(request)
        version = self._update(
            context,
            lambda state: added_service(state, service, request),
            request.comment,
            f"add service {service.name}",
        )
        return pb.AddServiceResponse(version=version)

    @reports_errors
    async def ChangeService(  # noqa: N802
        self, request: pb.ChangeServiceRequest, context: Context
    ) -> pb.ChangeServiceResponse:
        """See guideway.proto."""
        version = self._update(
            context,
            lambda state: changed_service(state, request),
            request.comment,
            f"change service {request.name}",
        )
        return pb.ChangeServiceResponse(version=version)

    @reports_errors
    async def RemoveService(  # noqa: N802
        self, request: pb.RemoveServiceRequest, context: Context
    ) -> pb.RemoveServiceResponse:
        """See guideway.proto."""
        version = self._update(
            context,
            lambda state: state.without_service(request.name),
            request.comment,
            f"remove service {request.name}",
        )
        return pb.RemoveServiceResponse(version=version)

    @reports_errors
    async def AddBackend(  # noqa: N802
        self, request: pb.AddBackendRequest, context: Context
    ) -> pb.AddBackendResponse:
        """See guideway.proto."""
        name = request.backend.name or request.backend.address
        version = self._update(
            context,
            lambda state: added_backend(state, request),
            request.comment,
            f"add backend {name} to {request.service}",
        )
        return pb.AddBackendResponse(version=version)

    @reports_errors
    async def SetBackend(  # noqa: N802
        self, request: pb.SetBackendRequest, context: Context
    ) -> pb.SetBackendResponse:
        """See guideway.proto."""
        version = self._update(
            context,
            lambda state: changed_backend(state, request, time.time()),
            request.comment,
            f"set backend {request.backend} of {request.service}",
        )
        return pb.SetBackendResponse(version=version)

    @reports_errors
    async def RemoveBackend(  # noqa: N802
        self, request: pb.RemoveBackendRequest, context: Context
    ) -> pb.RemoveBackendResponse:
        """See guideway.proto."""
        version = self._update(
            context,
            lambda state: state.without_backend(request.service, request.backend),
            request.comment,
            f"remove backend {request.backend} from {request.service}",
        )
        return pb.RemoveBackendResponse(version=version)

    @reports_errors
    async def GetStatistics(  # noqa: N802
        self, request: pb.GetStatisticsRequest, context: Context
    ) -> pb.GetStatisticsResponse:
        """See guideway.proto."""
        return statistics_to_pb(await self._observer.statistics())

    @reports_errors
    async def GetStatus(  # noqa: N802
        self, request: pb.GetStatusRequest, context: Context
    ) -> pb.GetStatusResponse:
        """See guideway.proto."""
        return pb.GetStatusResponse(node=node_to_pb(self._observer.node()))

    @reports_errors
    async def GetDataPlane(  # noqa: N802
        self, request: pb.GetDataPlaneRequest, context: Context
    ) -> pb.GetDataPlaneResponse:
        """See guideway.proto."""
        status = await self._observer.data_plane()
        return pb.GetDataPlaneResponse(data_plane=data_plane_to_pb(status))

    @reports_errors
    async def ReloadDataPlane(  # noqa: N802
        self, request: pb.ReloadDataPlaneRequest, context: Context
    ) -> pb.ReloadDataPlaneResponse:
        """See guideway.proto."""
        return pb.ReloadDataPlaneResponse(digest=await self._plane.reload())

    @reports_errors
    async def DetachDataPlane(  # noqa: N802
        self, request: pb.DetachDataPlaneRequest, context: Context
    ) -> pb.DetachDataPlaneResponse:
        """See guideway.proto."""
        await self._plane.detach()
        return pb.DetachDataPlaneResponse()

    @reports_errors
    async def Explain(  # noqa: N802
        self, request: pb.ExplainRequest, context: Context
    ) -> pb.ExplainResponse:
        """See guideway.proto."""
        explanation = await self._observer.explain(question_from_pb(request))
        return pb.ExplainResponse(explanation=explanation_to_pb(explanation))

    def _update(self, context: Context, change: Change, comment: str, ours: str) -> int:
        return self._store.update(
            change,
            source=source_of(context),
            author=author_of(context),
            comment=comment_or(comment, ours),
        )
