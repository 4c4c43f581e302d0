"""What became of each datagram and each connection, and during what. Pure.

All times are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

KEPT: Final = "kept"  # of a connection: there from the beginning to the end
NEW: Final = "new"


@dataclass(frozen=True, slots=True)
class Datagram:
    """One that was sent."""

    way: str
    sent_ns: int
    flows_backend: str | None  # who answered the flow's datagram before; None: it was first
    backend: str | None  # who answered; None: nobody
    copies: int = 1  # answers that came

    @property
    def failed(self) -> bool:
        """Whether it is lost: no answer came."""
        return self.backend is None


@dataclass(frozen=True, slots=True)
class Connection:
    """One that has ended, by our will or not."""

    way: str
    kind: str  # KEPT or NEW
    began_ns: int
    ended_ns: int  # of a broken one: when it asked in vain
    backend: str | None  # None: it never got an answer
    messages: int  # that were answered
    problem: str  # why it is broken; "" if it is not
    resent: int = 0  # segments that the client's kernel had to send again

    @property
    def failed(self) -> bool:
        """Whether it is broken: reset, answered wrongly, or not in time."""
        return bool(self.problem)


@dataclass(frozen=True, slots=True)
class Span:
    """What was done from then on, until the next span begins."""

    kind: str
    began_ns: int


@dataclass(slots=True)
class Row:
    """All spans of one kind together."""

    kind: str
    times: int = 0
    datagrams: list[Datagram] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)  # that ended then

    @property
    def sent(self) -> int:
        """Datagrams sent."""
        return len(self.datagrams)

    @property
    def lost(self) -> int:
        """Datagrams that got no answer."""
        return sum(each.failed for each in self.datagrams)

    @property
    def broken(self) -> int:
        """Connections that broke."""
        return sum(each.failed for each in self.connections)

    @property
    def failed(self) -> list[Datagram | Connection]:
        """What was lost or broke."""
        everything: list[Datagram | Connection] = [*self.datagrams, *self.connections]
        return [each for each in everything if each.failed]

    @property
    def resent(self) -> int:
        """Segments sent again."""
        return sum(each.resent for each in self.connections)


@dataclass(frozen=True, slots=True)
class Ledger:
    """Everything that was sent."""

    datagrams: Sequence[Datagram]
    connections: Sequence[Connection]
    wrong: int = 0  # answers that nobody can have meant

    def rows(self, spans: Sequence[Span]) -> list[Row]:
        """Return a row for each kind of span, in the order of their first ones.

        A datagram counts where it was sent, a connection where it ended. What came before
        the first span counts nowhere.
        """
        rows: dict[str, Row] = {}
        for span in spans:
            rows.setdefault(span.kind, Row(span.kind)).times += 1
        starts = [span.began_ns for span in spans]

        def row_at(moment_ns: int) -> Row | None:
            number = bisect_right(starts, moment_ns)
            return rows[spans[number - 1].kind] if number else None

        for datagram in self.datagrams:
            if row := row_at(datagram.sent_ns):
                row.datagrams.append(datagram)
        for connection in self.connections:
            if row := row_at(connection.ended_ns):
                row.connections.append(connection)
        return list(rows.values())


def total(rows: Iterable[Row]) -> Row:
    """Return all rows as one."""
    whole = Row("total")
    for row in rows:
        whole.times += row.times
        whole.datagrams += row.datagrams
        whole.connections += row.connections
    return whole


def others_hit(row: Row, victim: str) -> list[Datagram | Connection]:
    """Return what broke or got lost in ``row`` and had nothing to do with ``victim``.

    A new connection that got no answer may well have been the victim's: nobody can tell.
    """
    return [each for each in row.failed if _backend(each) not in (victim, None)]


def _backend(one: Datagram | Connection) -> str | None:
    return one.flows_backend if isinstance(one, Datagram) else one.backend
