"""``guideway.v1.Peering``: this node as others follow it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from control.api.convert_peering import told_to_pb
from control.api.identity import caller
from control.api.status_codes import Context, reports_stream_errors
from control.api.v1 import peering_pb2 as pb
from control.api.v1 import peering_pb2_grpc as pb_grpc
from control.errors import ConflictError
from control.sync.exchange import Exchange, Follower
from control.sync.shared import SharedFlows, SharedReplies
from control.sync.teller import Teller

_MOST_FOLLOWERS: Final = 16
# Of the time, what looking for news may take, and a pause after each message with flows: a
# million of them are told in some 3 s.
_SHARE: Final = 0.1
_PAUSE: Final = 0.05  # seconds


class Peering(pb_grpc.PeeringServicer):
    """The method is described in peering.proto."""

    def __init__(self, exchange: Exchange, interval: float) -> None:
        """Look for news every ``interval`` seconds, or less often if that takes long."""
        self._exchange = exchange
        self._interval = interval

    @reports_stream_errors
    async def Follow(  # noqa: N802
        self, request: pb.FollowRequest, context: Context
    ) -> AsyncGenerator[pb.FollowResponse]:
        """See peering.proto."""
        followers = self._exchange.followers
        if len(followers) >= _MOST_FOLLOWERS:
            raise ConflictError(f"{_MOST_FOLLOWERS} nodes follow this one already")
        who = caller()
        teller = Teller(always=request.always, replies=request.replies)
        follower = Follower(who.author, who.via, teller)
        followers.append(follower)
        try:
            while True:
                news = self._news(follower)
                while (message := await asyncio.to_thread(next, news, None)) is not None:
                    yield message
                    if message.HasField("flows") or message.HasField("replies"):
                        await asyncio.sleep(_PAUSE)
                yield pb.FollowResponse(told=pb.Told())
                await asyncio.sleep(max(self._interval, follower.seconds / _SHARE))
        finally:
            followers.remove(follower)

    def _news(self, follower: Follower) -> Iterator[pb.FollowResponse]:
        """Yield messages; each takes its time."""
        for told in self._exchange.tell(follower):
            if isinstance(told, SharedFlows | SharedReplies):
                follower.flows += len(told.flows)
            else:
                follower.rings += 1
            yield told_to_pb(told, time.monotonic_ns())
