"""Load from a client that has nothing but Python: ``python3 load.py ADDRESS PER_SECOND``.

Until its standard input ends it sends numbered datagrams to port 7 at an even rate, and
requests to port 80, one after the other, each on a new connection. Then it waits for what
is still on its way and prints, as JSON, what was asked and what was answered. It is copied
to where it runs, so it imports nothing of ours.
"""

import json
import socket
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path

LAST = 5.0  # seconds for answers that are still on their way
PATIENT = 30.0  # seconds for a request: a lost segment is sent again after one


class Datagrams:
    """Each is answered with the name of a server, a space, and what was sent."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.sent = 0
        self.answered: set[int] = set()
        self._to = to
        # Of several sockets, so that there are several flows.
        self._sockets = [
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)
        ]

    def send(self, over: threading.Event, per_second: float) -> None:
        for each in self._sockets:
            threading.Thread(target=self._hear, args=(each,), daemon=True).start()
        due = time.monotonic()
        while not over.is_set():
            by = self._sockets[self.sent % len(self._sockets)]
            by.sendto(str(self.sent).encode(), self._to)
            self.sent += 1
            due += 1 / per_second
            time.sleep(max(0.0, due - time.monotonic()))

    def _hear(self, by: socket.socket) -> None:
        while True:
            self.answered.add(int(by.recv(2048).split()[1]))


class Requests:
    """One after the other."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.asked = 0
        self.failures: list[str] = []
        self.slowest = 0.0
        self._to = to

    def send(self, over: threading.Event) -> None:
        while not over.is_set():
            begin = time.monotonic()
            self.asked += 1
            try:
                self._ask()
            except (OSError, HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self.slowest = max(self.slowest, time.monotonic() - begin)

    def _ask(self) -> None:
        connection = HTTPConnection(*self._to, timeout=PATIENT)
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 200:
            raise HTTPException(f"status {answer.status}")


def retransmitted() -> int:
    """Return how many segments this host has sent again since it was booted."""
    with Path("/proc/net/snmp").open(encoding="ascii") as file:
        names, values = (line.split() for line in file if line.startswith("Tcp:"))
    return int(values[names.index("RetransSegs")])


def main() -> None:
    address, per_second = sys.argv[1], float(sys.argv[2])
    over = threading.Event()
    datagrams = Datagrams((address, 7))
    requests = Requests((address, 80))
    before = retransmitted()
    senders = [
        threading.Thread(target=datagrams.send, args=(over, per_second)),
        threading.Thread(target=requests.send, args=(over,)),
    ]
    for each in senders:
        each.start()
    sys.stdin.read()
    over.set()
    for each in senders:
        each.join()
    deadline = time.monotonic() + LAST
    while len(datagrams.answered) < datagrams.sent and time.monotonic() < deadline:
        time.sleep(0.05)
    report = {
        "sent": datagrams.sent,
        "answered": len(datagrams.answered),
        "asked": requests.asked,
        "failures": requests.failures,
        "slowest": round(requests.slowest, 2),
        "retransmitted": retransmitted() - before,
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
