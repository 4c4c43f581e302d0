"""Asks a running guideway-vrrpd. Blocking; for command lines."""

import socket
from pathlib import Path

import msgspec

from vrrp.errors import HostError
from vrrp.requests import MAX_ANSWER, Answer, AnyRequest


def ask(path: Path, request: AnyRequest, timeout: float) -> Answer:
    """Return the answer of who listens at ``path``, within ``timeout`` s; or HostError."""
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(timeout)
            peer.connect(str(path.absolute()))
            peer.sendall(msgspec.json.encode(request) + b"\n")
            line = _read_line(peer)
    except TimeoutError as error:
        raise HostError(f"guideway-vrrpd did not answer within {timeout:g} s") from error
    except PermissionError as error:
        raise HostError(f"{path} is root's: run it as root") from error
    except OSError as error:
        raise HostError(
            f"guideway-vrrpd does not listen at {path} ({error.strerror or error}): is it "
            "running? its socket is beside its status file"
        ) from error
    try:
        return msgspec.json.decode(line, type=Answer)
    except msgspec.MsgspecError as error:
        raise HostError(f"who listens at {path} is not guideway-vrrpd: {error}") from error


def _read_line(peer: socket.socket) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < MAX_ANSWER:
        if not (more := peer.recv(65536)):
            break
        line += more
    return bytes(line)
