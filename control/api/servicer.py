"""``guideway.v1.LoadBalancer`` on top of a store, an observer and the data plane.

Each method converts, calls and converts back. The methods run on the event loop, one at a
time up to their first ``await``, and a change has none: changes do not interleave.
"""

import time
from typing import TypeAlias, TypeVar

from control.api.changing import Changing, Terms
from control.api.comments import comment_or
from control.api.convert import (
    added_backend,
    added_service,
    changed_backend,
    changed_service,
    new_service,
)
from control.api.convert_backend import backend_to_pb
from control.api.convert_explain import explanation_to_pb, question_from_pb
from control.api.convert_status import (
    data_plane_to_pb,
    node_to_pb,
    service_status_to_pb,
    statistics_to_pb,
)
from control.api.status_codes import Context, reports_errors
from control.api.v1 import guideway_pb2 as pb
from control.api.v1 import guideway_pb2_grpc as pb_grpc
from control.errors import NotFoundError
from control.status import Observer, Operations
from control.store import Change, Store

_Request: TypeAlias = (
    pb.AddServiceRequest
    | pb.ChangeServiceRequest
    | pb.RemoveServiceRequest
    | pb.AddBackendRequest
    | pb.SetBackendRequest
    | pb.RemoveBackendRequest
)
_Answer = TypeVar(
    "_Answer",
    pb.AddServiceResponse,
    pb.ChangeServiceResponse,
    pb.RemoveServiceResponse,
    pb.AddBackendResponse,
    pb.SetBackendResponse,
    pb.RemoveBackendResponse,
)


class LoadBalancer(pb_grpc.LoadBalancerServicer):
    """The methods are described in guideway.proto."""

    def __init__(self, store: Store, observer: Observer, plane: Operations) -> None:
        self._changing = Changing(store, observer)
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
        known = {one.service.name: one for one in self._observer.services()}
        if request.name not in known:
            raise NotFoundError("service", request.name, known=tuple(known))
        status = service_status_to_pb(known[request.name])
        return pb.GetServiceResponse(service=status)

    @reports_errors
    async def GetBackend(  # noqa: N802
        self, request: pb.GetBackendRequest, context: Context
    ) -> pb.GetBackendResponse:
        """See guideway.proto."""
        for status in self._observer.services():
            if status.service.name == request.service:
                probes = self._observer.probes(request.service, request.backend)
                return backend_to_pb(status, request.backend, probes)
        raise NotFoundError("service", request.service)

    @reports_errors
    async def AddService(  # noqa: N802
        self, request: pb.AddServiceRequest, context: Context
    ) -> pb.AddServiceResponse:
        """See guideway.proto."""
        service = new_service(request)
        return await self._change(
            request,
            context,
            lambda state: added_service(state, service, request),
            f"add service {service.name}",
            pb.AddServiceResponse,
        )

    @reports_errors
    async def ChangeService(  # noqa: N802
        self, request: pb.ChangeServiceRequest, context: Context
    ) -> pb.ChangeServiceResponse:
        """See guideway.proto."""
        return await self._change(
            request,
            context,
            lambda state: changed_service(state, request),
            _of_change(request),
            pb.ChangeServiceResponse,
        )

    @reports_errors
    async def RemoveService(  # noqa: N802
        self, request: pb.RemoveServiceRequest, context: Context
    ) -> pb.RemoveServiceResponse:
        """See guideway.proto."""
        return await self._change(
            request,
            context,
            lambda state: state.without_service(request.name),
            f"remove service {request.name}",
            pb.RemoveServiceResponse,
        )

    @reports_errors
    async def AddBackend(  # noqa: N802
        self, request: pb.AddBackendRequest, context: Context
    ) -> pb.AddBackendResponse:
        """See guideway.proto."""
        name = request.backend.name or request.backend.address
        return await self._change(
            request,
            context,
            lambda state: added_backend(state, request),
            f"add backend {name} to {request.service}",
            pb.AddBackendResponse,
        )

    @reports_errors
    async def SetBackend(  # noqa: N802
        self, request: pb.SetBackendRequest, context: Context
    ) -> pb.SetBackendResponse:
        """See guideway.proto."""
        return await self._change(
            request,
            context,
            lambda state: changed_backend(state, request, time.time()),
            f"set backend {request.backend} of {request.service}",
            pb.SetBackendResponse,
        )

    @reports_errors
    async def RemoveBackend(  # noqa: N802
        self, request: pb.RemoveBackendRequest, context: Context
    ) -> pb.RemoveBackendResponse:
        """See guideway.proto."""
        return await self._change(
            request,
            context,
            lambda state: state.without_backend(request.service, request.backend),
            f"remove backend {request.backend} from {request.service}",
            pb.RemoveBackendResponse,
        )

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

    async def _change(
        self,
        request: _Request,
        context: Context,
        change: Change,
        ours: str,  # what the history says without a comment
        answer: type[_Answer],
    ) -> _Answer:
        """Make a change, or say what it would do if ``request`` wants no more."""
        terms = Terms(comment_or(request.comment, ours), request.dry_run)
        made = self._changing.make(change, terms, context)
        if not terms.dry_run:
            return answer(version=made.version, unchanged=made.is_none)
        foreseen = await self._changing.foresee(made.before, made.after)
        return answer(version=made.version, unchanged=made.is_none, difference=foreseen)


def _of_change(request: pb.ChangeServiceRequest) -> str:
    if request.HasField("new_name"):
        return f"change service {request.name}, now {request.new_name}"
    return f"change service {request.name}"
