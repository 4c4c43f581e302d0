"""``guideway.v1.Events``: everything as it is, and then what happens."""

import time
from collections.abc import AsyncGenerator, Iterator

from control.api.convert_events import event_to_pb, vrrp_to_pb
from control.api.convert_status import node_to_pb, service_status_to_pb
from control.api.status_codes import Context, reports_stream_errors
from control.api.v1 import events_pb2 as pb
from control.api.v1 import events_pb2_grpc as pb_grpc
from control.events import (
    BackendChanged,
    Event,
    Hub,
    PoolChanged,
    ServingChanged,
    SuspicionChanged,
)
from control.status import Observer


class Events(pb_grpc.EventsServicer):
    """The method is described in events.proto."""

    def __init__(self, observer: Observer, hub: Hub) -> None:
        self._observer = observer
        self._hub = hub

    @reports_stream_errors
    async def Watch(  # noqa: N802
        self, request: pb.WatchRequest, context: Context
    ) -> AsyncGenerator[pb.WatchResponse]:
        """See events.proto."""
        services = frozenset(request.services)
        with self._hub.subscribe() as subscription:
            while not subscription.over:
                # Up to the first message nothing else happens on the event loop: what is
                # queued from here on is later than what is looked at here.
                missed = subscription.restart()
                for message in self._everything(missed, services):
                    yield message
                while (event := await subscription.next()) is not None:
                    if _concerns(event, services):
                        yield event_to_pb(event)

    def _everything(
        self, missed: int, services: frozenset[str]
    ) -> Iterator[pb.WatchResponse]:
        """Give what is true now; messages are made as they are sent."""
        number, now = self._hub.number, time.time()
        statuses = self._observer.services()
        begin = pb.Begin(
            missed=missed,
            node=node_to_pb(self._observer.node()),
            vrrp=vrrp_to_pb(self._hub.vrrp),
        )
        yield pb.WatchResponse(number=number, time=now, begin=begin)
        for status in statuses:
            if not services or status.service.name in services:
                service = service_status_to_pb(status)
                yield pb.WatchResponse(number=number, time=now, service=service)
        yield pb.WatchResponse(number=number, time=now, end=pb.End())


def _concerns(event: Event, services: frozenset[str]) -> bool:
    what = event.what
    of_one = BackendChanged | PoolChanged | ServingChanged | SuspicionChanged
    if not services or not isinstance(what, of_one):
        return True
    return what.service in services
