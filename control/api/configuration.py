"""``guideway.v1.Configuration`` on top of a store.

What takes longer than a moment, such as converting a large state, happens in a thread.
"""

import asyncio
from typing import Final

from control.api.changing import Changing, Terms
from control.api.comments import comment_or
from control.api.convert_configuration import (
    pending_to_pb,
    state_from_pb,
    state_to_pb,
    version_to_pb,
)
from control.api.identity import author_of
from control.api.status_codes import Context, reports_errors
from control.api.v1 import configuration_pb2 as pb
from control.api.v1 import configuration_pb2_grpc as pb_grpc
from control.desired import DesiredState
from control.errors import ConfigError
from control.status import Observer
from control.store import Store

_LISTED: Final = 100  # versions, if the client does not say how many


class Configuration(pb_grpc.ConfigurationServicer):
    """The methods are described in configuration.proto."""

    def __init__(self, store: Store, observer: Observer) -> None:
        self._store = store
        self._changing = Changing(store, observer)

    @reports_errors
    async def Apply(  # noqa: N802
        self, request: pb.ApplyRequest, context: Context
    ) -> pb.ApplyResponse:
        """See configuration.proto."""
        if not request.HasField("state"):
            problem = "is required; one without services takes all of them away"
            raise ConfigError("state", problem)
        wanted = await asyncio.to_thread(state_from_pb, request.state)
        return await self._make(wanted, request, "apply a whole state", context)

    @reports_errors
    async def Export(  # noqa: N802
        self, request: pb.ExportRequest, context: Context
    ) -> pb.ExportResponse:
        """See configuration.proto."""
        number = request.version if request.HasField("version") else self._store.version
        state = await asyncio.to_thread(state_to_pb, await self._state(number))
        return pb.ExportResponse(version=number, state=state)

    @reports_errors
    async def ListVersions(  # noqa: N802
        self, request: pb.ListVersionsRequest, context: Context
    ) -> pb.ListVersionsResponse:
        """See configuration.proto."""
        found = self._store.versions(request.limit or _LISTED, request.before or None)
        return pb.ListVersionsResponse(
            versions=[version_to_pb(version) for version in found],
            current=self._store.version,
            pending=pending_to_pb(self._store.pending),
        )

    @reports_errors
    async def GetVersion(  # noqa: N802
        self, request: pb.GetVersionRequest, context: Context
    ) -> pb.GetVersionResponse:
        """See configuration.proto."""
        found = self._store.find(request.version)
        state = await asyncio.to_thread(lambda: state_to_pb(self._store.decode(found)))
        return pb.GetVersionResponse(version=version_to_pb(found[0]), state=state)

    @reports_errors
    async def Diff(  # noqa: N802
        self, request: pb.DiffRequest, context: Context
    ) -> pb.DiffResponse:
        """See configuration.proto."""
        now = self._store.version
        number = getattr(request, "from") if request.HasField("from") else now
        before = await self._state(number)
        if request.HasField("to_state"):
            after = await asyncio.to_thread(state_from_pb, request.to_state)
        else:
            asked = request.HasField("to_version")
            after = await self._state(request.to_version if asked else now)
        found = await self._changing.foresee(before, after)
        return pb.DiffResponse(**{"from": number}, difference=found)

    @reports_errors
    async def Rollback(  # noqa: N802
        self, request: pb.RollbackRequest, context: Context
    ) -> pb.ApplyResponse:
        """See configuration.proto."""
        wanted = await self._state(request.version)
        ours = f"rollback to version {request.version}"
        return await self._make(wanted, request, ours, context)

    @reports_errors
    async def Confirm(  # noqa: N802
        self, request: pb.ConfirmRequest, context: Context
    ) -> pb.ConfirmResponse:
        """See configuration.proto."""
        number = request.version if request.HasField("version") else None
        kept = self._store.confirm(number, author=author_of(context))
        return pb.ConfirmResponse(version=kept)

    async def _make(
        self,
        wanted: DesiredState,
        request: pb.ApplyRequest | pb.RollbackRequest,
        ours: str,  # what the history says without a comment
        context: Context,
    ) -> pb.ApplyResponse:
        """Make ``wanted`` the desired state, or say what that would do."""
        terms = Terms(
            comment_or(request.comment, ours),
            request.dry_run,
            request.expected_version if request.HasField("expected_version") else None,
            request.confirm_timeout if request.HasField("confirm_timeout") else None,
        )
        wanted = await asyncio.to_thread(self._store.prepare, wanted)
        made = self._changing.make(lambda _: wanted, terms, context)
        pending = self._store.pending
        return pb.ApplyResponse(
            version=made.version,
            difference=await self._changing.foresee(made.before, made.after),
            pending=pending_to_pb(pending),
        )

    async def _state(self, number: int) -> DesiredState:
        """Return the state of a version; raise NotFoundError."""
        if number == 0:
            return DesiredState()
        if number == self._store.version:
            return self._store.state
        return await asyncio.to_thread(self._store.decode, self._store.find(number))
