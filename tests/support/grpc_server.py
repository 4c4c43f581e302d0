"""``python -m tests.support.grpc_server PORT STATUS``: grpcio's own health service."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1.health import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server


def main() -> None:
    """Serve until killed."""
    port, status = sys.argv[1:]
    server = grpc.server(ThreadPoolExecutor(4))
    health = HealthServicer()
    health.set("", HealthCheckResponse.ServingStatus.Value(status))
    add_HealthServicer_to_server(health, server)
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
