"""From events to programs and mails, from one guidewayd to the next."""

import asyncio
import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from control.addresses import parse_address
from control.desired import DesiredState
from control.events import BackendChanged, Hub, ServingChanged, VersionStored
from control.model import Backend, Mode, Protocol, Service
from control.notifying.notifier import Notifier
from control.notifying.settings import Encryption, Mail, Notifications, Program
from control.pool import Pool
from control.pool_policy import PoolPolicy
from control.serving import UNPROBED, Served
from control.status import Health
from control.unserved import unserved
from tests.support.mail_server import mail_server
from tests.support.users import AS_ROOT

pytestmark = AS_ROOT
ME = pwd.getpwuid(os.geteuid()).pw_name
BACKENDS = tuple(Backend(f"b{n}", parse_address(f"10.0.0.{n}"), 80, 1) for n in (1, 2))
WEB = Service(
    name="web",
    vip=parse_address("192.0.2.1"),
    protocol=Protocol.TCP,
    port=80,
    mode=Mode.DR,
    backends=BACKENDS,
)
STATE = DesiredState((WEB,))


def down(backend: str) -> BackendChanged:
    return BackendChanged("web", backend, Health.DOWN, "refused")


def up(backend: str) -> BackendChanged:
    return BackendChanged("web", backend, Health.UP, "")


def serves(*, so: bool) -> ServingChanged:
    return ServingChanged("web", so, "" if so else "x")


def lives(directory: Path, happens: list, state: DesiredState = STATE) -> str:
    """Let a notifier live while something happens; return what its program was told."""
    told = directory / "told"
    told.write_text("")
    script = f'echo "$*" v$GUIDEWAY_VERSION >> {told}'
    program = Program(("/bin/sh", "-c", script, "tell"), user=ME)

    async def work() -> None:
        hub = Hub()
        notifier = Notifier(lambda: (7, state), directory / "notified.json")
        notifier.adopt(Notifications((program,)))
        hub.inform(notifier.hear)
        hub.publish(happens[0])  # before it runs
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(notifier.run())
            await asyncio.sleep(0)
            for what in happens[1:]:
                hub.publish(what)
            running.cancel()
        assert notifier.problems == []

    with capture_logs():
        asyncio.run(asyncio.wait_for(work(), 20))
    return told.read_text()


def test_the_next_one_tells_only_what_is_different(tmp_path: Path) -> None:
    first = lives(tmp_path, [down("b1"), down("b2"), serves(so=False)])
    second = lives(tmp_path, [down("b1"), up("b2"), serves(so=True)])
    third = lives(tmp_path, [down("b1"), up("b2")])

    assert first.splitlines() == [
        "RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN v7",
        "RS [10.0.0.2]:tcp:80 [192.0.2.1]:tcp:80 DOWN v7",
        "VS [192.0.2.1]:tcp:80 DOWN v7",
    ]
    assert second.splitlines() == [
        "RS [10.0.0.2]:tcp:80 [192.0.2.1]:tcp:80 UP v7",
        "VS [192.0.2.1]:tcp:80 UP v7",
    ]
    assert third == ""


def test_what_was_not_told_before_the_end_is_told_by_the_next_one(tmp_path: Path) -> None:
    told = tmp_path / "told"
    sleeps = Program(
        ("/bin/sh", "-c", f"echo $1 $2 >> {told}; exec sleep 60", "x"), user=ME
    )

    async def live(verdicts: list[tuple[tuple[str, str], Health, str]]) -> None:
        notifier = Notifier(lambda: (7, STATE), tmp_path / "notified.json")
        notifier.adopt(Notifications((sleeps,)))
        notifier.compare(verdicts, 0.0)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(notifier.run())
            await asyncio.sleep(0)
            running.cancel()

    both = [(("web", name), Health.DOWN, "refused") for name in ("b1", "b2")]
    with capture_logs():
        asyncio.run(live(both))
        first = told.read_text().splitlines()
        asyncio.run(live(both))

    assert first == ["RS [10.0.0.1]:tcp:80"]
    assert told.read_text().splitlines() == [*first, "RS [10.0.0.2]:tcp:80"]


def test_who_is_gone_meanwhile_is_forgotten(tmp_path: Path) -> None:
    lives(tmp_path, [down("b1"), down("b2")])
    fewer = DesiredState((replace(WEB, backends=BACKENDS[1:]),))
    lives(tmp_path, [VersionStored(8, changed=("web",)), down("b2")], fewer)

    assert lives(tmp_path, [up("b1"), up("b2")]).count("UP") == 1


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'[{"kind": 1}]', b"\xff"])
def test_a_file_of_somebody_else_is_no_memory(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "notified.json").write_bytes(text)

    assert lives(tmp_path, [up("b1"), down("b2")]).count("\n") == 1


def test_a_mail_has_what_happened_before_its_time(tmp_path: Path) -> None:
    async def work() -> None:
        async with mail_server() as box:
            mail = Mail(
                "127.0.0.1", box.port, Encryption.NONE, "a@b.example", ("c@d.example",)
            )
            notifier = Notifier(
                lambda: (7, DesiredState((WEB,))), tmp_path / "notified.json"
            )
            notifier.adopt(Notifications(mail=replace(mail, gather=0.3)))
            hub = Hub()
            hub.inform(notifier.hear)
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(notifier.run())
                for what in (down("b1"), up("b1"), down("b2")):
                    hub.publish(what)
                await box.came.wait()
                running.cancel()
        (got,) = box.mails
        lines = got.get_content().replace("\r", "").splitlines()
        assert [line.partition(" ")[0] for line in lines[2:]] == ["web/b2:", "web/b1:"]

    with capture_logs():
        asyncio.run(asyncio.wait_for(work(), 20))


def test_a_place_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    async def work() -> list[str]:
        notifier = Notifier(
            lambda: (7, DesiredState()), tmp_path / "none" / "notified.json"
        )
        hub = Hub()
        hub.inform(notifier.hear)
        hub.publish(down("b1"))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(notifier.run())
            await asyncio.sleep(0)
            running.cancel()
        return notifier.problems

    with capture_logs():
        (problem,) = asyncio.run(work())

    assert problem.startswith("what was told is not saved: ")


def served(
    slots: dict[str, int], problems: dict[str, str], service: Service = WEB
) -> Served:
    return Served(service, 1, (), 0, slots, {}, problems, frozenset())


def test_a_service_that_has_lost_its_quorum_is_down_whoever_serves() -> None:
    service = replace(WEB, pool=PoolPolicy(quorum=2))
    lost = Pool(1, quorum=False)
    few = replace(served({"b1": 5}, {}, service), pool=lost)
    sorry = replace(few, service=replace(service, name="s"), pool=replace(lost, sorry=True))

    assert unserved([few, sorry]) == {
        "web": "no quorum: weight 1 of 2 is up",
        "s": "no quorum: weight 1 of 2 is up; the sorry server serves",
    }


def test_which_services_nobody_serves_is_in_the_tables() -> None:
    sick = {"b1": "its health check fails", "b2": "its health check fails"}
    named = [
        served({"b1": 5}, {"b2": "its health check fails"}),
        served({}, sick, replace(WEB, name="none")),
        served({}, {"b1": UNPROBED, "b2": "x"}, replace(WEB, name="unknown")),
        served({}, {}, replace(WEB, name="empty", backends=())),
        served({}, {"b1": "draining"}, replace(WEB, name="one", backends=BACKENDS[:1])),
    ]

    assert unserved(named) == {
        "web": "",
        "none": "none of 2 backends can serve: its health check fails",
        "one": "its backend cannot serve: draining",
    }
