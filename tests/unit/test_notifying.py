"""What is news, to whom, in which words: the pure part of notifications."""

from collections import Counter
from dataclasses import replace
from datetime import UTC
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.addresses import parse_address
from control.events import (
    BackendChanged,
    DataPlaneChanged,
    Event,
    PlaneChange,
    ServingChanged,
    VersionApplied,
    VrrpChanged,
    What,
)
from control.model import Backend, Mode, Protocol, Service
from control.notifying import backlog as backlogs
from control.notifying.backlog import Backlog
from control.notifying.changes import Change, Kind, Known, Subject, concerns
from control.notifying.digest import MAX_SUBJECTS, Digest, worth
from control.notifying.pacing import MAX_TRIES, Pace
from control.notifying.settings import Occasion, Program, Severity
from control.notifying.words import command, environment
from control.status import Health

B1 = Subject(Kind.BACKEND, "web", "b1")
WEB = Subject(Kind.SERVICE, "web")
BACKEND = Backend("b1", parse_address("10.0.0.1"), 8080, 1)
SERVICE = Service(
    name="web",
    vip=parse_address("2001:db8::1"),
    protocol=Protocol.TCP,
    port=80,
    mode=Mode.NAT,
)
DOWN = Change(B1, "up", "down", "connection refused", 1000.25)
UP = replace(DOWN, before="down", after="up", reason="", time=1198.0)
NOON = 1_790_000_000.0  # 2026-09-21 13:33:20 UTC


def learned(known: Known, *happened: What) -> list[Change]:
    events = (Event(n, 1000.0 + n, what) for n, what in enumerate(happened, 1))
    return [change for event in events if (change := known.learn(event))]


def down(backend: str = "b1", reason: str = "refused") -> BackendChanged:
    return BackendChanged("web", backend, Health.DOWN, reason)


def up(backend: str = "b1") -> BackendChanged:
    return BackendChanged("web", backend, Health.UP, "")


# --- what is news


def test_only_what_is_not_as_it_was_said_last_is_news() -> None:
    told = learned(
        Known(),
        up(),  # the first verdict, as it should be
        down(),
        down(reason="timed out"),
        BackendChanged("web", "b1", Health.UNKNOWN, ""),  # its check is another one
        down(),
        up(),
        VersionApplied(3),
    )

    assert told == [
        Change(B1, "up", "down", "refused", 1002.0),
        Change(B1, "down", "up", "", 1006.0),
    ]


def test_services_the_data_plane_and_vrrp_have_news_too() -> None:
    told = learned(
        Known(),
        ServingChanged("web", serves=False, reason="none"),
        ServingChanged("web", serves=True, reason=""),
        DataPlaneChanged(PlaneChange.RELOADED),
        DataPlaneChanged(PlaneChange.FAILING, "eth0 is taken"),
        DataPlaneChanged(PlaneChange.FAILING, "eth1, too"),
        DataPlaneChanged(PlaneChange.DETACHED),
        DataPlaneChanged(PlaneChange.ATTACHED),
        VrrpChanged("front", "backup"),  # the first look
        VrrpChanged("front", "active", "backup", "the Active resigned", 1.0, 150),
        VrrpChanged("front", "", "active"),
    )

    plane, front = Subject(Kind.DATA_PLANE), Subject(Kind.VRRP, name="front")
    assert told == [
        Change(WEB, "up", "down", "none", 1001.0),
        Change(WEB, "down", "up", "", 1002.0),
        Change(plane, "up", "down", "eth0 is taken", 1004.0),
        Change(plane, "down", "up", "", 1007.0),
        Change(front, "backup", "active", "the Active resigned", 1009.0, priority=150),
        Change(front, "active", "gone", "", 1010.0),
    ]


def test_what_came_back_while_nobody_looked_is_news() -> None:
    known = Known({B1: "down", Subject(Kind.BACKEND, "web", "b2"): "down"})

    assert [c.subject.name for c in learned(known, up("b1"), down("b2"), up("b3"))] == [
        "b1"
    ]


def test_nothing_is_kept_of_what_is_not_there_any_more() -> None:
    known = Known()
    learned(known, down("b1"), down("b2"), ServingChanged("dns", serves=False, reason="x"))
    learned(known, VrrpChanged("front", "backup"))

    known.forget({"web": {"b2"}})

    assert known.states == {
        Subject(Kind.BACKEND, "web", "b2"): "down",
        Subject(Kind.VRRP, name="front"): "backup",
    }


def test_a_reason_is_cut() -> None:
    assert len(learned(Known(), down(reason="x" * 10_000))[0].reason) == 200


# --- who wants to know


@pytest.mark.parametrize(
    ("services", "backends", "wanted"),
    [
        ((), (), {"web/b1", "web", "dns/b1", "VRRP front", "the data plane"}),
        (("web",), (), {"web/b1", "web"}),
        (("web",), ("b1",), {"web/b1", "web"}),
        (("web",), ("b2",), {"web"}),
        (("mail",), (), set()),
    ],
)
def test_a_program_may_be_for_some_services_and_backends(
    services, backends, wanted
) -> None:
    program = Program(("/x",), services=frozenset(services), backends=frozenset(backends))
    subjects = [
        B1,
        WEB,
        Subject(Kind.BACKEND, "dns", "b1"),
        Subject(Kind.VRRP, name="front"),
        Subject(Kind.DATA_PLANE),
    ]

    assert {one.title for one in subjects if concerns(program, one)} == wanted


def test_every_change_has_an_occasion_and_a_severity() -> None:
    plane = Subject(Kind.DATA_PLANE)
    changes = [DOWN, UP, *(replace(c, subject=WEB) for c in (DOWN, UP))]
    changes += [replace(DOWN, subject=s) for s in (plane, Subject(Kind.VRRP, name="a"))]

    assert [(c.occasion, worth(c, Severity.CRITICAL)) for c in changes] == [
        (Occasion.BACKEND_DOWN, False),
        (Occasion.BACKEND_UP, False),
        (Occasion.SERVICE_DOWN, True),
        (Occasion.SERVICE_UP, True),
        (Occasion.DATA_PLANE, True),
        (Occasion.VRRP, False),
    ]
    assert all(worth(c, Severity.WARNING) for c in changes)


# --- in which words


def test_a_program_gets_keepaliveds_arguments() -> None:
    program = Program(("/bin/tell", "-v"))
    of_backend = replace(DOWN, service=SERVICE, backend=BACKEND)
    of_service = replace(UP, subject=WEB, service=SERVICE)
    vrrp = Change(Subject(Kind.VRRP, name="front"), "backup", "active", "", 0, priority=150)
    rests = replace(vrrp, after="initialize")
    plane = Change(Subject(Kind.DATA_PLANE), "up", "down", "", 0)
    told = [of_backend, of_service, vrrp, rests, plane, DOWN]

    assert [" ".join(command(program, change)[2:]) for change in told] == [
        "RS [10.0.0.1]:tcp:8080 [2001:db8::1]:tcp:80 DOWN",
        "VS [2001:db8::1]:tcp:80 UP",
        "INSTANCE front MASTER 150",
        "INSTANCE front FAULT 150",
        "DATA_PLANE DOWN",
        "RS b1 web DOWN",  # it is gone, and had an address
    ]
    assert command(replace(program, arguments=False), DOWN) == ("/bin/tell", "-v")


def test_the_environment_says_everything() -> None:
    change = replace(DOWN, service=SERVICE, backend=BACKEND, version=7, changes=3)

    told = environment(replace(change, reason="it says\n\x1b[31mno"), "lb1")

    assert {key: value for key, value in told.items() if key.startswith("GUIDEWAY_")} == {
        "GUIDEWAY_KIND": "backend",
        "GUIDEWAY_EVENT": "backend-down",
        "GUIDEWAY_SERVICE": "web",
        "GUIDEWAY_VIP": "2001:db8::1",
        "GUIDEWAY_PORT": "80",
        "GUIDEWAY_PROTOCOL": "tcp",
        "GUIDEWAY_BACKEND": "b1",
        "GUIDEWAY_BACKEND_ADDRESS": "10.0.0.1",
        "GUIDEWAY_BACKEND_PORT": "8080",
        "GUIDEWAY_INSTANCE": "",
        "GUIDEWAY_OLD": "up",
        "GUIDEWAY_NEW": "down",
        "GUIDEWAY_REASON": "it says??[31mno",
        "GUIDEWAY_CHANGES": "3",
        "GUIDEWAY_TIME": "1000.250",
        "GUIDEWAY_VERSION": "7",
        "GUIDEWAY_NODE": "lb1",
    }
    assert set(told) - {key for key in told if key.startswith("GUIDEWAY_")} == {
        "PATH",
        "LANG",
    }


# --- what waits for a program

FLAPS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60)


def flapping(flaps: list[tuple[str, bool]]) -> list[Change]:
    """Return the changes of backends that are up at first and made to do these things."""
    known = Known()
    return learned(known, *(up(name) if so else down(name) for name, so in flaps))


@given(FLAPS, st.integers(1, 5))
def test_in_the_end_a_program_knows_how_everything_is(
    flaps: list[tuple[str, bool]], every: int
) -> None:
    waiting, told = Backlog(), list[Change]()

    for number, change in enumerate(flapping(flaps)):
        waiting.add(change)
        if number % every == 0 and (first := waiting.pop()):
            told.append(first)
    assert len(waiting) <= 3
    while change := waiting.pop():
        told.append(change)

    knows = dict.fromkeys("abc", "up")
    for change in told:
        assert change.before == knows[change.subject.name]
        assert change.after != change.before
        knows[change.subject.name] = change.after
    last = dict.fromkeys("abc", "up") | {n: "up" if so else "down" for n, so in flaps}
    assert knows == last


def test_what_is_again_as_it_was_told_leaves_the_queue() -> None:
    waiting = Backlog()
    for change in flapping([("a", False), ("b", False), ("a", True), ("a", False)]):
        waiting.add(change)
    waiting.add(replace(DOWN, subject=replace(B1, name="c")))

    told = [waiting.pop() for _ in range(4)]

    # It was well again meanwhile, so what waited was no news; then it was.
    assert [c and (c.subject.name, c.changes) for c in told] == [
        ("b", 1),
        ("a", 1),
        ("c", 1),
        None,
    ]


def test_what_could_not_be_told_is_first_again_with_what_came_meanwhile() -> None:
    waiting = Backlog()
    changes = flapping([("a", False), ("b", False), ("c", False), ("b", True)])
    for change in changes[:3]:
        waiting.add(change)
    taken = [waiting.pop(), waiting.pop()]
    waiting.add(changes[3])

    for change in reversed(taken):
        assert change
        waiting.put_back(change)

    # That b is down nobody was told, and it is over.
    assert [waiting.pop(), waiting.pop(), waiting.pop()] == [changes[0], changes[2], None]


def test_what_waits_is_bounded_and_what_is_dropped_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlogs, "MAX_WAITING", 3)
    waiting = Backlog()

    for name in "abcde":
        waiting.add(replace(DOWN, subject=replace(B1, name=name)))

    assert (len(waiting), waiting.dropped) == (3, 2)
    assert (change := waiting.pop())
    assert change.subject.name == "c"


# --- mails


def test_a_mail_sums_up_what_became_of_each() -> None:
    digest = Digest()
    flaps = [("down", 0), ("up", 40), ("down", 60), ("up", 80), ("down", 100), ("up", 199)]
    for after, later in flaps:
        before = "up" if after == "down" else "down"
        reason = "connection refused" if after == "down" else ""
        digest.add(Change(B1, before, after, reason, NOON + later))
    b2 = Subject(Kind.BACKEND, "web", "b2")
    digest.add(Change(b2, "up", "down", "timed out", NOON + 10))
    digest.add(Change(WEB, "up", "down", "none", NOON + 20))
    digest.add(Change(WEB, "down", "up", "", NOON + 30))

    text = digest.text("lb1", UTC)

    assert text.subject == "[guideway lb1] web/b2 is down, and 2 more"
    assert text.body == (
        "lb1: 9 changes, 2026-09-21 14:13:20 to 2026-09-21 14:16:39 UTC\n"
        "\n"
        "web/b2: down 14:13:30 (timed out)\n"
        "web: down 14:13:40 (none), up 14:13:50\n"
        "web/b1: down 14:13:20 (connection refused), up 14:16:39, 6 changes\n"
    )


def test_a_mail_of_several_days_says_which() -> None:
    digest = Digest()
    digest.add(Change(B1, "up", "down", "", NOON))
    digest.add(Change(B1, "down", "up", "", NOON + 86400))

    line = digest.text("lb1", UTC).body.splitlines()[2]

    assert line == "web/b1: down 2026-09-21 14:13:20, up 2026-09-22 14:13:20"


NAMES = st.integers(0, MAX_SUBJECTS + 50).map(str)


@given(st.lists(st.lists(NAMES, max_size=40), max_size=6), st.data())
def test_no_change_is_lost_however_mails_fail(tries: list[list[str]], data) -> None:
    digest, counts = Digest(), Counter[str]()

    for names in tries:
        sending, digest = digest, Digest()
        for name in names:  # they come while it is being sent
            digest.add(replace(DOWN, subject=replace(B1, name=name), time=NOON))
            counts[name] += 1
        if data.draw(st.booleans()):
            digest = sending.followed_by(digest)
        else:
            for name in list(counts):
                counts[name] -= sum(
                    one.changes for s, one in sending.courses.items() if s.name == name
                )

    assert digest.changes == counts.total()
    assert {s.name: one.changes for s, one in digest.courses.items()} == +counts


def test_a_mail_is_bounded_and_says_how_much_it_leaves_out() -> None:
    digest = Digest()
    for number in range(20_000):
        subject = replace(B1, name=f"b{number}")
        digest.add(Change(subject, "up", "down", "x" * 200, NOON))

    text = digest.text("lb1", UTC)

    assert len(digest.courses) == MAX_SUBJECTS
    assert digest.changes == 20_000
    assert text.subject == "[guideway lb1] web/b0 is down, and many more"
    assert text.body.splitlines()[-1] == (
        "and 19500 changes of others: see `guideway status`"
    )
    assert len(text.body) < 200_000


# --- when


def test_the_first_mail_gathers_and_the_next_one_keeps_its_distance() -> None:
    pace = Pace(gather=10, interval=300)
    assert pace.due() == float("inf")

    pace.wait(1000)
    pace.wait(1005)
    assert pace.due() == 1010

    pace.sent(1011, more=False)
    assert pace.due() == float("inf")
    pace.wait(1020)
    assert pace.due() == 1311
    pace.sent(1311, more=True)  # something came while it was sent
    assert pace.due() == 1611
    pace.sent(1611, more=False)
    pace.wait(5000)
    assert pace.due() == 5010


def test_a_server_that_fails_is_asked_ever_less_often_and_then_no_more() -> None:
    pace, now, pauses = Pace(gather=0, interval=1), 1000.0, list[float]()
    pace.wait(now)

    while pace.failed(now):
        pauses.append(pace.due() - now)
        now = pace.due()

    assert pauses == [30, 60, 120, 240, 480, 900, 900, 900, 900]
    assert len(pauses) == MAX_TRIES - 1
    pace.give_up(now, more=False)
    assert pace.due() == float("inf")
    pace.wait(now + 5)
    assert pace.due() == now + 5


@given(st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=50))
def test_mails_are_never_closer_than_they_may(waits: list[tuple[int, bool]]) -> None:
    pace, now, sent = Pace(gather=10, interval=300), 0.0, list[float]()

    for pause, works in waits:
        now += pause
        pace.wait(now)
        now = max(now, pace.due())
        if works:
            sent.append(now)
            pace.sent(now, more=False)
        elif not pace.failed(now):
            pace.give_up(now, more=False)

    assert all(b - a >= 300 for a, b in pairwise(sent))
