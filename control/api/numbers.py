"""What the API bears at a time. docs/guidewayd.md has these numbers; a test compares them.

Options of gRPC are milliseconds and bytes.
"""

from typing import Final

MAX_REQUEST_BYTES: Final = 8 << 20  # what a node of default limits can hold, twice over
MAX_CALLS: Final = 64  # under way; of them, events.MAX_FOLLOWERS may watch
MAX_TCP_CONNECTIONS: Final = 128
MAX_STREAMS: Final = 64  # calls at a time on one connection
HANDSHAKE_SECONDS: Final = 10  # for TLS, and for the first frame of HTTP/2
IDLE_SECONDS: Final = 300  # a connection without a call is closed
PING_SECONDS: Final = 60  # a silent connection is asked whether it lives
PING_ANSWER_SECONDS: Final = 20  # and closed if it does not say so
CLIENT_PING_SECONDS: Final = 10  # a client that asks more often is sent away
MAX_HEADER_BYTES: Final = 8 << 10

OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_metadata_size", MAX_HEADER_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_HEADER_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.max_allowed_incoming_connections", MAX_TCP_CONNECTIONS),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
    ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1000),
    ("grpc.keepalive_time_ms", PING_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", PING_ANSWER_SECONDS * 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", CLIENT_PING_SECONDS * 1000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", CLIENT_PING_SECONDS * 1000),
    ("grpc.http2.max_ping_strikes", 2),
    ("grpc.so_reuseport", 0),  # a second guidewayd at the same port is a mistake
)
