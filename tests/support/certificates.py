"""A CA, and what it makes for daemons and their clients."""

from dataclasses import dataclass, field
from pathlib import Path

import grpc
import trustme

from control.access import Tcp


@dataclass
class Authority:
    """A CA whose files are in a directory."""

    directory: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    def serve(self, **changed: object) -> Tcp:
        """Write a daemon's files and return what serves by them, on a free port."""
        self.directory.mkdir(exist_ok=True)
        self.renew()
        self.ca.cert_pem.write_to_path(self.client_ca)
        files = {
            "certificate": self.certificate,
            "key": self.key,
            "client_ca": self.client_ca,
        }
        names = {"change": ("O=ops",), "view": ("O=audit", "CN=carol")}
        return Tcp(**{"address": "127.0.0.1", "port": 0, **files, **names, **changed})

    def renew(self) -> bytes:
        """Replace certificate and key of the daemon; return the certificate."""
        made = self.ca.issue_cert("127.0.0.1", "localhost")
        for path, pem in (
            (self.key, made.private_key_pem.bytes()),
            (self.certificate, made.cert_chain_pems[0].bytes()),
        ):
            new = path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_bytes(pem)
            new.replace(path)
        return made.cert_chain_pems[0].bytes()

    def client(self, name: str | None, organization: str | None) -> trustme.LeafCert:
        """Return the certificate of a client."""
        return self.ca.issue_cert(
            "client.example", common_name=name, organization_name=organization
        )

    def client_files(self, name: str, organization: str) -> tuple[Path, Path, Path]:
        """Write CA, certificate and key of a client, as the command line wants them."""
        made = self.client(name, organization)
        certificate = self.directory / f"{name}.pem"
        key = self.directory / f"{name}.key"
        made.cert_chain_pems[0].write_to_path(certificate)
        made.private_key_pem.write_to_path(key)
        return self.client_ca, certificate, key

    def credentials(self, client: trustme.LeafCert | None) -> grpc.ChannelCredentials:
        """Return what a client connects by; None: without a certificate of its own."""
        root = self.ca.cert_pem.bytes()
        if client is None:
            return grpc.ssl_channel_credentials(root)
        key = client.private_key_pem.bytes()
        chain = client.cert_chain_pems[0].bytes()
        return grpc.ssl_channel_credentials(root, key, chain)

    @property
    def certificate(self) -> Path:
        return self.directory / "server.pem"

    @property
    def key(self) -> Path:
        return self.directory / "server.key"

    @property
    def client_ca(self) -> Path:
        return self.directory / "ca.pem"
