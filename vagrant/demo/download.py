"""One long download, held back so that it runs through all that happens meanwhile."""

import asyncio
import hashlib
import socket
from typing import Final

import aiohttp
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from vagrant.lab.hosts import Host
from vagrant.lab.webserver import HEADER

_CHUNK_BYTES: Final = 32 << 10
_PACE_BYTES: Final = 1 << 20  # per second, while held back
# A small window: what is not asked for yet stays with the server, not in our buffers.
_WINDOW_BYTES: Final = 128 << 10
_SILENCE: Final = 20.0  # seconds without a byte, then it has failed


class Download:
    """A download in progress; :meth:`run` never raises because of the network."""

    def __init__(self, host: Host, url: str, size: int) -> None:
        self.size = size  # bytes
        self.received = 0  # bytes
        self.backend: str | None = None  # who serves it; None: not known yet
        self.error = ""  # why it failed
        self.begun = asyncio.Event()  # or failed to
        self._host = host
        self._url = url
        self._digest = hashlib.sha256()
        self._held_back = True

    @property
    def sha256(self) -> str:
        """The digest of what has been received."""
        return self._digest.hexdigest()

    def hurry(self) -> None:
        """Fetch the rest as fast as it comes."""
        self._held_back = False

    async def run(self) -> None:
        """Download to the end, or until it fails."""
        connector = TCPConnector(socket_factory=self._open_socket, force_close=True)
        timeout = ClientTimeout(total=None, sock_connect=2, sock_read=_SILENCE)
        try:
            async with (
                ClientSession(connector=connector, timeout=timeout) as session,
                session.get(self._url) as answer,
            ):
                answer.raise_for_status()
                self.backend = answer.headers[HEADER]
                self.begun.set()
                async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                    self._digest.update(chunk)
                    self.received += len(chunk)
                    if self._held_back:
                        await asyncio.sleep(len(chunk) / _PACE_BYTES)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            self.error = str(error) or type(error).__name__
        finally:
            self.begun.set()

    def _open_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        opened = self._host.socket()
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)
        return opened
