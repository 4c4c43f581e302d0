"""Take a backend out of service, and wait until it gets nothing new: a client in Python.

    drain.py SERVICE BACKEND [SOCKET]

SOCKET is that of GUIDEWAY_SOCKET, or else guidewayd's usual one.

It speaks gRPC with the code that is generated from control/api/v1/*.proto. In a checkout
that `deploy/setup` made ready, run it by `.venv/bin/python`; for a project of your own,
generate the code from these files (`make proto` shows how), in any language.
"""

import os
import sys

import grpc
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status

from control.api.v1 import events_pb2, guideway_pb2
from control.api.v1.events_pb2_grpc import EventsStub
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub

SOCKET = os.environ.get("GUIDEWAY_SOCKET", "/run/guideway/guidewayd.sock")
TIMEOUT = 10  # seconds that an answer may take; without one, a call may wait for ever
DRAINED_WITHIN = 30  # seconds


def list_services(stub: LoadBalancerStub) -> None:
    """Print each service with its backends and what part of it they have."""
    answer = stub.ListServices(guideway_pb2.ListServicesRequest(), timeout=TIMEOUT)
    for status in answer.services:
        service = status.service
        print(f"{service.name}: {service.vip} port {service.port}")
        for each in status.backends:
            print(f"  {each.backend.name}: {each.share:.0%} {each.reason}".rstrip())


def share(stub: LoadBalancerStub, service: str, backend: str) -> float:
    """Return what part of the service's new flows the backend gets, 0 to 1."""
    request = guideway_pb2.GetServiceRequest(name=service)
    status = stub.GetService(request, timeout=TIMEOUT).service
    return next(each.share for each in status.backends if each.backend.name == backend)


def drain(channel: grpc.Channel, service: str, backend: str) -> None:
    """Give the backend no new flows, and return when that is so in the kernel."""
    stub = LoadBalancerStub(channel)
    # Watch before the change, or else its events may be over before we look.
    request = events_pb2.WatchRequest(services=[service])
    events = EventsStub(channel).Watch(request, timeout=DRAINED_WITHIN)
    change = guideway_pb2.SetBackendRequest(
        service=service, backend=backend, state=guideway_pb2.BACKEND_STATE_DRAINING
    )
    version = stub.SetBackend(change, timeout=TIMEOUT).version
    print(f"{backend} is draining, by version {version} of the configuration")
    # First comes everything as it is, then what happens. Whichever it is, it is time to
    # look again: a client that does so does not depend on having seen every event.
    for message in events:
        print(f"  {message.WhichOneof('what')}")
        if share(stub, service, backend) == 0:
            events.cancel()
            print(f"{backend} gets no new flows of {service}")
            return


def refusal(error: grpc.RpcError) -> str:
    """Return what guidewayd says against a call, with the field that it is about."""
    status = rpc_status.from_call(error)
    bad = BadRequest()
    for detail in status.details if status else ():
        if detail.Unpack(bad):
            fields = ", ".join(one.field for one in bad.field_violations)
            return f"{error.details()} (field: {fields})"
    return f"{error.code().name}: {error.details()}"


def main(service: str, backend: str, socket: str = SOCKET) -> None:
    """Show what there is, drain, and show it again."""
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        stub = LoadBalancerStub(channel)
        try:
            list_services(stub)
            drain(channel, service, backend)
            list_services(stub)
        except grpc.RpcError as error:
            sys.exit(f"drain.py: {refusal(error)}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
