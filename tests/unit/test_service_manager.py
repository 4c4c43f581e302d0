"""What a service manager is told."""

import asyncio
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service_manager import ServiceManager


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(5)
        yield end


def environment(ear: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": ear.getsockname(), **more}


def heard(ear: socket.socket) -> str:
    return ear.recv(4096).decode()


def test_it_is_told_what_happens(ear: socket.socket) -> None:
    manager = ServiceManager(environment(ear))

    manager.ready()
    manager.status("balancing 2 services")
    manager.status("balancing 2 services")
    manager.reloading()
    manager.stopping()

    assert [heard(ear), heard(ear)] == ["READY=1", "STATUS=balancing 2 services"]
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", heard(ear))
    assert heard(ear) == "STOPPING=1"


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0guideway-test-{os.getpid()}")
        ear.settimeout(5)
        ServiceManager({"NOTIFY_SOCKET": f"@guideway-test-{os.getpid()}"}).ready()

        assert heard(ear) == "READY=1"


def test_children_do_not_speak_for_us(ear: socket.socket) -> None:
    inherited = environment(ear, WATCHDOG_USEC="1", WATCHDOG_PID="1", PATH="/bin")

    ServiceManager(inherited)

    assert inherited == {"PATH": "/bin"}


def test_it_beats_as_often_as_is_wanted_while_the_loop_runs(ear: socket.socket) -> None:
    manager = ServiceManager(environment(ear, WATCHDOG_USEC="300000"))

    async def scenario() -> list[str]:
        beating = asyncio.ensure_future(manager.beat())
        loop = asyncio.get_running_loop()
        beats = [await loop.run_in_executor(None, heard, ear) for _ in range(3)]
        beating.cancel()
        return beats

    start = time.monotonic()
    assert asyncio.run(scenario()) == ["WATCHDOG=1"] * 3
    assert time.monotonic() - start > 0.15


def test_a_loop_that_is_stuck_does_not_beat(ear: socket.socket) -> None:
    manager = ServiceManager(environment(ear, WATCHDOG_USEC="30000"))
    ear.settimeout(0.3)

    async def scenario() -> None:
        beating = asyncio.ensure_future(manager.beat())
        await asyncio.sleep(0)
        assert heard(ear) == "WATCHDOG=1"
        with pytest.raises(TimeoutError):  # blocks the loop, as a bug would
            heard(ear)
        beating.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "given", [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}], ids=["none", "other"]
)
def test_where_nobody_wants_a_beat_there_is_none(given: dict[str, str]) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(5):
            await ServiceManager(given).beat()

    asyncio.run(scenario())


def test_what_a_busy_service_manager_does_not_take_is_said_later(
    ear: socket.socket,
) -> None:
    manager = ServiceManager(environment(ear))
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    sent = 0
    while not manager.behind:
        manager.status(f"number {sent}")
        sent += 1
    manager.ready()

    said = []
    while manager.behind or len(said) <= sent:
        said.append(heard(ear))
        manager.status("again")

    assert said[: sent + 1] == [*(f"STATUS=number {n}" for n in range(sent)), "READY=1"]


def test_a_service_manager_that_is_gone_disturbs_nobody(tmp_path: Path) -> None:
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
