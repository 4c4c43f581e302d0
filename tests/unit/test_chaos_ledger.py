"""What was lost during what, and what a backend's death may have cost."""

from bench.chaos.ledger import (
    KEPT,
    NEW,
    Connection,
    Datagram,
    Ledger,
    Span,
    others_hit,
    total,
)


def datagram(sent_ns: int, backend: str | None = "d1") -> Datagram:
    return Datagram("dr4", sent_ns, "d1", backend)


def connection(ended_ns: int, backend: str | None = "d1", problem: str = "") -> Connection:
    return Connection("dr4", KEPT, 0, ended_ns, backend, 3, problem)


def test_a_datagram_counts_where_it_was_sent_and_a_connection_where_it_ended() -> None:
    ledger = Ledger(
        [datagram(9), datagram(10), datagram(20, None), datagram(30, None), datagram(40)],
        [connection(15), connection(29, problem="reset")],
    )

    rows = ledger.rows([Span("kill", 10), Span("reload", 20), Span("kill", 30)])

    assert [(r.kind, r.times, r.sent, r.lost, r.broken) for r in rows] == [
        ("kill", 2, 3, 1, 0),
        ("reload", 1, 1, 1, 1),
    ]


def test_the_total_is_that_of_all_rows() -> None:
    ledger = Ledger([datagram(1), datagram(2, None)], [connection(2, problem="reset")])

    whole = total(ledger.rows([Span("kill", 1), Span("reload", 2)]))

    assert (whole.times, whole.sent, whole.lost, whole.broken) == (2, 2, 1, 1)


def test_a_dead_backend_may_cost_what_was_its_own_and_nothing_else() -> None:
    others = Datagram("dr4", 3, "d2", None), connection(4, "n1", "reset")
    refused = Connection("dr4", NEW, 1, 5, None, 0, "refused")  # by whom, nobody knows
    ledger = Ledger(
        [datagram(1, None), others[0]],
        [connection(2, "d1", "reset"), refused, others[1]],
    )

    (row,) = ledger.rows([Span("death", 0)])

    assert others_hit(row, "d1") == list(others)
