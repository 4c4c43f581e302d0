"""Call any method of the API, knowing nothing of it: what grpcurl does, in Python.

    call.py list [SOCKET]
    call.py METHOD JSON [SOCKET]

`list` prints the methods, with `stream` where many answers come. METHOD is one of them,
JSON its request, `{}` for an empty one; each answer is printed as a line of JSON. SOCKET is
that of GUIDEWAY_SOCKET, or else guidewayd's usual one. Needs
grpcio and grpcio-reflection, and no code of guideway: the server describes its messages.
"""

import os
import sys
from collections.abc import Iterator

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SOCKET = os.environ.get("GUIDEWAY_SOCKET", "/run/guideway/guidewayd.sock")
TIMEOUT = 30  # seconds that an answer may take


def methods(channel: grpc.Channel) -> dict[str, MethodDescriptor]:
    """Ask the server what it has; by names such as guideway.v1.LoadBalancer/GetStatus."""
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)
    return {
        f"{name}/{method.name}": method
        for name in sorted(database.get_services())
        for method in pool.FindServiceByName(name).methods
    }


def call(
    channel: grpc.Channel, name: str, method: MethodDescriptor, request: str
) -> Iterator[str]:
    """Call a method with a request in JSON, and give its answers."""
    if method.client_streaming:
        raise ValueError(f"{name} takes a stream of requests")
    message = json_format.Parse(request, GetMessageClass(method.input_type)())
    is_stream = method.server_streaming
    made = (channel.unary_stream if is_stream else channel.unary_unary)(
        f"/{name}",
        request_serializer=type(message).SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    for answer in made(message) if is_stream else [made(message, timeout=TIMEOUT)]:
        yield json_format.MessageToJson(
            answer, indent=None, preserving_proto_field_name=True
        )


def main(name: str, *rest: str) -> None:
    """Do what the command line says."""
    is_list = name == "list"
    request, *socket = ("", *rest) if is_list else rest
    with grpc.insecure_channel(f"unix:{socket[0] if socket else SOCKET}") as channel:
        try:
            known = methods(channel)
            if is_list:
                for each, method in known.items():
                    print(f"{each} stream" if method.server_streaming else each)
                return
            if name not in known:
                sys.exit(f"call.py: no method {name!r}: `call.py list` prints all")
            for answer in call(channel, name, known[name], request):
                print(answer, flush=True)
        except grpc.RpcError as error:
            sys.exit(f"call.py: {error.code().name}: {error.details()}")
        except (ValueError, json_format.ParseError) as error:
            sys.exit(f"call.py: {error}")
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    words = sys.argv[1:]
    if len(words) not in ((1, 2) if words[:1] == ["list"] else (2, 3)):
        sys.exit(__doc__)
    main(*words)
