"""The API's certificates, which may be replaced while it serves.

gRPC asks at the beginning of each connection whether there are others
(:meth:`Certificates.fetch`); only if a file is another one than before are they read.
Connections that exist go on.
"""

import os
import ssl
import stat
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from control.access import Tcp
from control.errors import HostError

_log: Final = structlog.get_logger()
_NOT_FOR = stat.S_IWGRP | stat.S_IRWXO  # rights that nobody may have on a key


@dataclass(frozen=True, slots=True)
class Pem:
    """What the files have: checked, and good for each other."""

    certificate: bytes
    key: bytes
    client_ca: bytes

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """Return it as gRPC wants to have it."""
        return grpc.ssl_server_certificate_configuration(
            [(self.key, self.certificate)], root_certificates=self.client_ca
        )


def read(tcp: Tcp) -> Pem:
    """Read the three files; HostError says which is no good, and why."""
    _check_key_file(tcp.key)
    pem = Pem(_read(tcp.certificate), _read(tcp.key), _read(tcp.client_ca))
    ours = _certificates(tcp.certificate, pem.certificate)[0]
    _certificates(tcp.client_ca, pem.client_ca)
    if _public(ours) != _public(_key(tcp.key, pem.key)):
        raise HostError(f"{tcp.key} is not the key of the certificate in {tcp.certificate}")
    if ours.not_valid_after_utc < datetime.now(UTC):
        until = f"{ours.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        _log.warning("certificate has expired", file=str(tcp.certificate), at=until)
    return pem


class Certificates:
    """Those that are in use, and when they are to be read again."""

    def __init__(self, tcp: Tcp) -> None:
        """Read the files for the first time; HostError as :func:`read`."""
        self._tcp = tcp
        self._turn = threading.Lock()  # gRPC asks from threads of its own
        self._stamp = _stamp(tcp)
        self._pem = read(tcp)

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that demand a certificate of every client."""
        return grpc.dynamic_ssl_server_credentials(
            self._pem.configuration(),
            self.fetch,  # type: ignore[arg-type] # None is right: grpc says so
            require_client_authentication=True,
        )

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what is in use from now on; None: what was before.

        Files that are no good are left alone and logged, once for each change of them.
        """
        with self._turn:
            stamp = _stamp(self._tcp)
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            try:
                found = read(self._tcp)
            except HostError as error:
                _log.error("certificates not read again", problem=str(error))
                return None
            if found == self._pem:
                return None
            self._pem = found
            _log.info("certificates read again", certificate=str(self._tcp.certificate))
            return found.configuration()


def _stamp(tcp: Tcp) -> tuple[tuple[int, ...], ...]:
    return tuple(_identity(path) for path in (tcp.certificate, tcp.key, tcp.client_ca))


def _identity(path: Path) -> tuple[int, ...]:
    """Return what is another one when the file is."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}") from error


def _check_key_file(path: Path) -> None:
    try:
        found = path.stat()
    except OSError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}") from error
    if found.st_uid not in (0, os.geteuid()):
        raise HostError(f"{path} is a key, and belongs to another user than root: chown it")
    if found.st_mode & _NOT_FOR:
        raise HostError(
            f"{path} is a key, and its mode is {stat.S_IMODE(found.st_mode):04o}: make it "
            "0600, or 0640 if a group has to read it"
        )


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise HostError(f"{path} has no certificate that can be read (PEM)") from error
    try:
        # What BoringSSL makes of it is found out at the first connection only.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem.decode())
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise HostError(f"{path} has certificates that TLS cannot use: {error}") from error
    return found


def _key(path: Path, pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError as error:  # so it says that a password is needed
        problem = f"{path} is encrypted, and nobody is here to type a password"
        raise HostError(problem) from error
    except ValueError as error:
        raise HostError(f"{path} has no key that can be read (PEM)") from error


def _public(of: x509.Certificate | PrivateKeyTypes) -> bytes:
    return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
