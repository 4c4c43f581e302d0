"""Telling the service manager how we are: the protocol of sd_notify(3).

Where no service manager asked for it (``NOTIFY_SOCKET``) all of this does nothing.
"""

import asyncio
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

_MICROSECONDS: Final = 1_000_000
_BEAT: Final = "WATCHDOG=1"
_BEATS: Final = 3  # within the time after which we count as dead


class ServiceManager:
    """Who started us, if it wants to be told."""

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        """Take from ``environment`` what is meant for us, and not for our children."""
        address = environment.pop("NOTIFY_SOCKET", "")
        # An abstract address is written with an @ in place of its zero.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        microseconds = int(environment.pop("WATCHDOG_USEC", "0"))
        ours = environment.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._patience = microseconds / _MICROSECONDS if ours else 0.0  # seconds
        self._status = ""
        self._unsent: list[str] = []

    @property
    def behind(self) -> bool:
        """Whether something could not be said yet."""
        return bool(self._unsent)

    def ready(self) -> None:
        """Say that we serve, for the first time or after :meth:`reloading`."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again."""
        now = time.monotonic_ns() // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """Say that we are about to end."""
        self._tell("STOPPING=1")

    def status(self, sentence: str) -> None:
        """Say how we are, if that is new."""
        if sentence != self._status:
            self._status = sentence
            self._unsent.append(f"STATUS={sentence}")
        self._flush()

    async def beat(self) -> None:
        """Say again and again that the event loop runs, which is what a task can know.

        Returns at once if nobody wants to hear it.
        """
        while self._patience:
            self._tell(_BEAT)
            await asyncio.sleep(self._patience / _BEATS)

    def _tell(self, message: str) -> None:
        self._unsent.append(message)
        self._flush()

    def _flush(self) -> None:
        """Send what was not sent before; never wait for anybody."""
        if not self._address:
            self._unsent.clear()
        if not self._unsent:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
            way.settimeout(0)
            try:
                while self._unsent:
                    way.sendto(self._unsent[0].encode(), self._address)
                    del self._unsent[0]
            except BlockingIOError:  # it is busy: the next time, beats excepted
                self._unsent = [each for each in self._unsent if each != _BEAT]
            except OSError:  # it is not there, which is no reason to stop serving
                self._unsent.clear()
