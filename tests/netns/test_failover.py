"""Backends and balancer nodes die, and come back, under real connections."""

import hashlib
import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException

import pytest

from tests.support.wait import eventually
from vagrant.lab.lab import Lab
from vagrant.lab.topology import VIP, DrTopology, NatTopology

pytestmark = pytest.mark.alone

FILE_BYTES = 16 << 20  # more than the buffers of both ends hold


@pytest.fixture(params=[DrTopology, NatTopology], ids=["dr", "nat"])
def lab(request, lab_name: str) -> Iterator[Lab]:
    with Lab(lab_name, request.param, large_file_bytes=FILE_BYTES) as made:
        made.start()
        yield made


class Download:
    """A download that stands still until it is told to go on."""

    def __init__(self, lab: Lab) -> None:
        self._wanted = hashlib.sha256(lab.large_file.read_bytes()).hexdigest()
        self._connection = HTTPConnection(str(VIP), timeout=20)
        with lab.client.inside():
            self._connection.request("GET", f"/{lab.large_file.name}")
        self._answer = self._connection.getresponse()
        self.backend = self._answer.headers["X-Backend"]
        self._sum = hashlib.sha256(self._answer.read(1 << 16))

    def go_on(self, size: int) -> None:
        self._sum.update(self._answer.read(size))

    def arrives_intact(self) -> bool:
        while piece := self._answer.read(1 << 20):
            self._sum.update(piece)
        self._connection.close()
        return self._sum.hexdigest() == self._wanted


def ask(lab: Lab, *, timeout: float = 0.2) -> str | None:
    """Return who answers one request; None if nobody does in time."""
    connection = HTTPConnection(str(VIP), timeout=timeout)
    try:
        with lab.client.inside():
            connection.request("GET", "/")
        return connection.getresponse().headers["X-Backend"]
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def share_of(lab: Lab, backend: str) -> float:
    return lab.nodes["lb1"].api.shares("web")[backend]


def test_a_dead_backend_is_taken_out_and_put_back_and_others_notice_nothing(
    lab: Lab,
) -> None:
    download = Download(lab)
    victim = next(name for name in ("b1", "b2", "b3") if name != download.backend)
    lab.kill_servers(victim)

    eventually(lambda: share_of(lab, victim) == 0, within=5, what="the backend is out")
    answers = [ask(lab, timeout=5) for _ in range(100)]
    assert None not in answers
    assert victim not in answers

    download.go_on(1 << 20)
    lab.start_servers(victim)
    lab.wait_for_servers(victim)
    eventually(lambda: share_of(lab, victim) > 0, within=5, what="the backend is back")
    assert victim in {ask(lab, timeout=5) for _ in range(200)}
    assert download.arrives_intact()


def test_the_backup_takes_over_and_a_download_goes_on(lab: Lab) -> None:
    download = Download(lab)
    assert ask(lab, timeout=5) is not None

    lab.nodes["lb1"].power_off()
    died = time.monotonic()
    eventually(lambda: ask(lab), within=10, what="the VIP answers again")
    outage = time.monotonic() - died

    # 3 adverts of 0.1 s and a skew of 0.06 s, then one request that may have to time out.
    assert outage < 2, outage
    assert lab.nodes["lb2"].vrrp_state() == "active"
    assert download.arrives_intact()


def test_a_node_that_stops_in_order_hands_over_before_it_goes(lab: Lab) -> None:
    download = Download(lab)

    lab.nodes["lb1"].vrrpd.stop()
    lab.nodes["lb2"].wait_until_state("active")

    # So it has waited for its skew, 0.06 s; without the farewell it would be 0.36 s.
    status = json.loads(lab.nodes["lb2"].paths.vrrp_status.read_text())
    assert status["lab"]["reason"] == "10.0.0.11 resigned"
    assert eventually(lambda: ask(lab), within=5, what="the VIP answers")
    lab.nodes["lb1"].guidewayd.stop()
    assert download.arrives_intact()


def test_a_node_that_comes_back_takes_its_place_again(lab: Lab) -> None:
    lab.nodes["lb1"].power_off()
    lab.nodes["lb2"].wait_until_state("active")
    download = Download(lab)

    lab.nodes["lb1"].power_on()
    lab.nodes["lb1"].wait_until_ready()
    lab.nodes["lb1"].wait_until_state("active")
    lab.nodes["lb2"].wait_until_state("backup")

    assert eventually(lambda: ask(lab), within=5, what="the VIP answers")
    assert download.arrives_intact()
