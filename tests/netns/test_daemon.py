"""guidewayd starts, stops, is killed, reloads, and refuses what cannot work."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from signal import SIGHUP, SIGTERM

import pytest

from control.api.v1 import guideway_pb2 as pb
from tests.support.daemon import (
    edit,
    guideway,
    guidewayd,
    programs,
    refusal,
    restart,
)
from tests.support.wait import eventually
from vagrant.lab import xdp_pass
from vagrant.lab.errors import LabError
from vagrant.lab.lab import Lab
from vagrant.lab.node import Node
from vagrant.lab.topology import VIP, DrTopology, NatTopology
from vagrant.lab.wait import PATIENCE


@pytest.fixture
def lab(lab_name: str) -> Iterator[Lab]:
    """Return a lab in direct return, everything running."""
    with Lab(lab_name, DrTopology, large_file_bytes=8 << 20) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def _bare_lab() -> Iterator[Lab]:
    with Lab(f"d{os.getpid()}", NatTopology) as made:
        yield made


@pytest.fixture
def bare_lab(_bare_lab: Lab) -> Lab:
    """Return a lab with two segments in which nothing runs, whatever a test has left."""
    for node in _bare_lab.nodes.values():
        node.guidewayd.kill()
        node.write_files()
        if node.paths.pins(node.name).exists():
            guidewayd(node, "--detach")
    return _bare_lab


def who_answers(lab: Lab) -> str:
    connection = HTTPConnection(str(VIP), timeout=5)
    with lab.client.inside():
        connection.request("GET", "/")
    answer = connection.getresponse().headers["X-Backend"]
    connection.close()
    return answer


def forwarded(node: Node) -> int:
    reasons = node.api.statistics().reasons
    return sum(
        each.traffic.packets for each in reasons if each.verdict == pb.VERDICT_FORWARD
    )


def hang_up(node: Node) -> None:
    assert node.guidewayd.pid is not None
    os.kill(node.guidewayd.pid, SIGHUP)


def test_packets_flow_on_when_the_daemon_is_killed_and_a_restart_adopts_them(
    lab: Lab,
) -> None:
    node = lab.nodes["lb1"]
    held = HTTPConnection(str(VIP), timeout=5)
    with lab.client.inside():
        held.request("GET", "/")
    first = held.getresponse().read()
    counted, loaded = forwarded(node), programs(node)

    node.guidewayd.kill()
    assert {who_answers(lab) for _ in range(100)} == {"b1", "b2", "b3"}
    restart(node)

    assert node.api.status().adopted
    assert programs(node) == loaded
    assert forwarded(node) > counted
    held.request("GET", "/")
    assert held.getresponse().read() == first
    held.close()


def test_a_stop_in_order_leaves_the_packets_flowing_too(lab: Lab) -> None:
    node = lab.nodes["lb1"]

    node.guidewayd.stop()

    assert {who_answers(lab) for _ in range(100)} == {"b1", "b2", "b3"}


def test_detaching_takes_everything_out_of_the_kernel(lab: Lab) -> None:
    node = lab.nodes["lb2"]
    node.guidewayd.stop()
    assert len(programs(node)) == 1

    said = guidewayd(node, "--detach")

    assert said == "detached instance lb2\n"
    assert programs(node) == []
    assert not node.paths.pins("lb2").exists()


def test_a_running_daemon_is_not_detached_from_under_its_feet(lab: Lab) -> None:
    node = lab.nodes["lb1"]

    assert "is in use by a running guidewayd: stop that one first" in refusal(
        node, "--detach"
    )
    assert len(programs(node)) == 1


def test_another_program_is_swapped_in_without_breaking_a_connection(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    held = HTTPConnection(str(VIP), timeout=5)
    with lab.client.inside():
        held.request("GET", f"/{lab.large_file.name}")
    answer = held.getresponse()
    answer.read(1 << 16)
    before = programs(node)
    node.guidewayd.stop()
    edit(node, lambda file: file["limits"].update(slots=131_072))  # another digest

    restart(node)

    assert not node.api.status().adopted
    assert programs(node) != before
    assert len(answer.read()) == (8 << 20) - (1 << 16)
    held.close()
    generations = [path.name for path in node.paths.pins("lb1").iterdir()]
    assert len(generations) == 2  # the program's and the links'


def test_a_changed_file_is_taken_over_by_sighup(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    edit(node, lambda file: file["services"][0]["backends"].pop())

    hang_up(node)

    eventually(
        lambda: set(node.api.shares("web")) == {"b1", "b2"},
        within=5,
        what="the third backend is gone",
    )


def test_a_file_that_is_read_again_during_the_start_is_taken_over_whole(lab: Lab) -> None:
    node = lab.nodes["lb2"]
    node.guidewayd.stop()
    guidewayd(node, "--detach")  # so that no backend serves already
    node.paths.state_directory.joinpath("desired.db").unlink()
    good = node.paths.guidewayd_file.read_text()
    # Nobody has this address: the start waits for an answer as long as it ever does.
    nobody = {"name": "nobody", "address": "10.0.0.99"}
    edit(node, lambda file: file["services"][0].update(backends=[nobody]))
    node.guidewayd.start()
    eventually(
        node.paths.state_directory.joinpath("desired.db").exists,
        within=30,  # it compiles first
        what="it is starting",
    )
    node.paths.guidewayd_file.write_text(good)

    hang_up(node)

    node.wait_until_ready()
    node.wait_until_serving("web")


def test_a_file_with_a_mistake_changes_nothing_in_a_running_daemon(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    edit(node, lambda file: file["services"][0].update(port=70000))

    hang_up(node)

    eventually(lambda: "not reloaded" in node.guidewayd.tail(), within=5, what="it says so")
    assert "services[0] (web), port: Expected `int` <= 65535" in node.guidewayd.tail()
    (warning,) = (one for one in node.api.status().warnings if "not taken over" in one)
    assert "services[0] (web), port: Expected `int` <= 65535" in warning
    assert node.guidewayd.running
    assert {who_answers(lab) for _ in range(100)} == {"b1", "b2", "b3"}


def test_a_program_that_is_not_there_is_warned_of_and_no_reason_to_end(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    edit(node, lambda file: file.update(notify=[{"command": ["/no/such"]}]))

    assert refusal(node, "--check").endswith("command: /no/such: No such file or directory")
    restart(node)

    warning = "program cannot be run"
    eventually(lambda: warning in node.guidewayd.tail(), within=5, what="it says so")


def test_what_the_api_changed_outlives_a_restart(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    guideway(node, "backend", "set", "web", "b1", "--weight", "0")

    node.guidewayd.kill()
    restart(node)

    assert node.api.shares("web")["b1"] == 0


def test_the_command_line_changes_what_packets_meet(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    for name in ("b1", "b2"):
        guideway(node, "backend", "drain", "web", name)

    eventually(
        lambda: node.api.shares("web")["b3"] == 1, within=5, what="one backend is left"
    )
    eventually(node.api.answers, within=5, what="the kernel has what is wanted")
    assert {who_answers(lab) for _ in range(30)} == {"b3"}


def test_an_empty_file_does_not_take_all_traffic_down(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    node.guidewayd.stop()
    edit(node, lambda file: file.update(services=[]))

    assert "the configuration has no service, and packets are being balanced" in refusal(
        node
    )
    assert {who_answers(lab) for _ in range(100)} == {"b1", "b2", "b3"}


def test_emptiness_is_refused_with_another_program_too(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    node.guidewayd.stop()
    edit(node, lambda file: file.update(services=[]))
    edit(node, lambda file: file["limits"].update(slots=131_072))

    assert "the configuration has no service, and packets are being balanced" in refusal(
        node
    )
    assert {who_answers(lab) for _ in range(100)} == {"b1", "b2", "b3"}


def test_a_refused_start_leaves_tables_and_changes_of_the_api_as_they_were(
    lab: Lab,
) -> None:
    node = lab.nodes["lb1"]
    guideway(node, "backend", "set", "web", "b1", "--weight", "0")
    eventually(node.api.answers, within=5, what="the kernel has it")
    node.guidewayd.stop()
    good = node.paths.guidewayd_file.read_text()
    edit(node, lambda file: file.update(interfaces=["eth0", "lo"]))
    edit(node, lambda file: file["services"][0].update(port=8080, backends=[]))

    assert "interface lo: " in refusal(node)

    assert {who_answers(lab) for _ in range(60)} == {"b2", "b3"}
    node.paths.guidewayd_file.write_text(good)
    restart(node)
    assert node.api.shares("web")["b1"] == 0


def test_a_socket_that_cannot_be_made_is_refused_and_detaches_nothing(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    node.guidewayd.stop()
    loaded = programs(node)
    edit(node, lambda file: file["api"].update(socket="/proc/nowhere/x.sock"))

    assert "/proc/nowhere" in refusal(node)

    assert programs(node) == loaded
    node.write_files()
    restart(node)
    assert node.api.status().adopted


def test_an_attachment_that_somebody_takes_away_is_put_back(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    (link,) = (node.paths.pins("lb1") / "links").iterdir()
    before = link.stat().st_ino
    link.unlink()

    # It may be off for a shorter time than it takes to look.
    eventually(
        lambda: link.exists() and link.stat().st_ino != before, within=10, what="a new link"
    )
    assert len(programs(node)) == 1
    assert {who_answers(lab) for _ in range(100)} == {"b1", "b2", "b3"}


def test_a_backend_with_another_mac_is_served_again_soon(lab: Lab) -> None:
    node = lab.nodes["lb1"]
    mac = "02:00:00:00:00:77"
    lab.topology.backends["b1"].run("ip", "link", "set", "eth0", "address", mac)

    # Whether it is out in between depends on who asks for whom first.
    eventually(lambda: node.api.mac("web", "b1") == mac, within=15, what="it is known")
    eventually(lambda: node.api.shares("web")["b1"] > 0, within=8, what="it is in")
    eventually(lambda: who_answers(lab) == "b1", within=5, what="it answers")


def test_a_log_that_cannot_be_written_ends_nothing(lab: Lab) -> None:
    node = lab.nodes["lb2"]
    node.guidewayd.stop()
    config = ("--config", str(node.paths.guidewayd_file))
    command = (sys.executable, "-m", "control.daemon", *config)
    daemon = node.host.popen("sh", "-c", 'exec "$@" 2>/dev/full', "sh", *command)
    eventually(node.api.answers, within=20, what="it serves")

    guideway(node, "backend", "drain", "web", "b1")

    assert daemon.poll() is None


def test_two_impatient_signals_end_it_in_order(lab: Lab) -> None:
    for pause in (0.0, 0.02, 0.2):
        node = lab.nodes["lb2"]
        node.guidewayd.start()
        node.wait_until_ready()
        pid = node.guidewayd.pid
        assert pid is not None
        os.kill(pid, SIGTERM)
        with suppress(ProcessLookupError), suppress(LabError):
            node.guidewayd.wait(pause / PATIENCE)
        if node.guidewayd.running:
            os.kill(pid, SIGTERM)
        assert node.guidewayd.wait(10) == 0


def test_a_daemon_killed_while_it_starts_hinders_no_start_after_it(bare_lab: Lab) -> None:
    node = bare_lab.nodes["lb1"]
    for step in range(12):
        node.guidewayd.start()
        with suppress(LabError):  # it has not ended by then
            node.guidewayd.wait(step * 0.1 / PATIENCE)
        node.guidewayd.kill()

    node.guidewayd.start()
    node.wait_until_ready()
    node.guidewayd.stop()
    assert guidewayd(node, "--detach") == "detached instance lb1\n"
    node.paths.state_directory.joinpath("desired.db").unlink()


def test_generic_mode_is_there_for_drivers_without_xdp(bare_lab: Lab) -> None:
    node = bare_lab.nodes["lb1"]
    edit(node, lambda file: file.update(xdp_mode="generic"))
    node.guidewayd.start()
    node.wait_until_ready()

    modes = {one.name: one.mode for one in node.api.status().interfaces}

    assert modes == dict.fromkeys(("eth0", "eth1"), pb.XDP_MODE_GENERIC)


def refuse_eth7(node: Node) -> None:
    edit(node, lambda file: file.update(interfaces=["eth7"]))


def refuse_bpffs(node: Node) -> None:
    edit(node, lambda file: file.update(bpffs=str(node.paths.directory)))


def refuse_instance(node: Node) -> None:
    edit(node, lambda file: file.update(instance="a b"))


def refuse_long_socket(node: Node) -> None:
    edit(node, lambda file: file["api"].update(socket="/run/" + "x" * 120))


def refuse_small_maps(node: Node) -> None:
    edit(node, lambda file: file["limits"].update(backends=4))


REFUSALS = [
    pytest.param(refuse_eth7, "interface eth7: no such interface here", id="interface"),
    pytest.param(refuse_bpffs, "no bpffs is mounted there: `mount -t bpf", id="bpffs"),
    pytest.param(refuse_instance, ": instance: Expected `str` matching", id="file"),
    pytest.param(refuse_long_socket, "107", id="socket path"),
    pytest.param(refuse_small_maps, "raise it in the configuration", id="limits"),
]


@pytest.fixture
def node(bare_lab: Lab) -> Iterator[Node]:
    """Return a node on which nothing runs, and see that nothing was changed on it."""
    one = bare_lab.nodes["lb1"]
    before = programs(one)
    yield one
    assert programs(one) == before
    assert not one.paths.pins("lb1").exists()


@pytest.mark.parametrize(("spoil", "sentence"), REFUSALS)
def test_what_cannot_work_is_refused_in_one_sentence(
    node: Node, spoil: Callable[[Node], None], sentence: str
) -> None:
    spoil(node)

    assert sentence in refusal(node)


def test_only_root_may_start_it(node: Node) -> None:
    said = refusal(node, before=("setpriv", "--bounding-set", "-net_admin"))

    assert "loading XDP programs needs CAP_NET_ADMIN: run it as root" in said


def test_without_bcc_it_says_which_package_is_missing(node: Node, tmp_path: Path) -> None:
    (tmp_path / "bcc.py").write_text("raise ImportError")
    edit(node, lambda file: file.update(cache_directory=None))

    said = refusal(node, before=("env", f"PYTHONPATH={tmp_path}"))

    assert "install Debian's package python3-bpfcc" in said


def test_without_the_headers_it_says_which_package_is_missing(node: Node) -> None:
    edit(node, lambda file: file.update(cache_directory=None))
    hide = 'mount -t tmpfs none /usr/include && exec "$@"'

    said = refusal(node, before=("unshare", "--mount", "sh", "-c", hide, "sh"))

    assert "install linux-libc-dev" in said


def test_a_foreign_xdp_program_is_never_replaced(bare_lab: Lab) -> None:
    node = bare_lab.nodes["lb2"]
    xdp_pass.attach(node.host, "eth1")
    foreign = programs(node)

    said = refusal(node)

    assert "interface eth1: carries another XDP program already" in said
    assert programs(node) == foreign  # nothing on eth0 either
    assert not node.paths.pins("lb2").exists()


def test_a_second_daemon_with_the_same_socket_state_or_instance_is_refused(
    lab: Lab,
) -> None:
    node = lab.nodes["lb1"]
    directory = node.paths.directory
    assert f"{node.paths.socket} is in use by another guidewayd" in refusal(node)

    edit(node, lambda file: file["api"].update(socket=str(directory / "other.sock")))
    assert "is in use by a running guidewayd" in refusal(node)

    other = lab.nodes["lb2"]
    other.guidewayd.stop()
    state = str(node.paths.state_directory)
    edit(other, lambda file: file.update(state_directory=state))
    assert "desired.db is in use by another guidewayd" in refusal(other)
    assert {who_answers(lab) for _ in range(100)} == {"b1", "b2", "b3"}


def test_the_check_option_judges_a_file_without_touching_anything(node: Node) -> None:
    assert guidewayd(node, "--check").endswith("is right; services: 1\n")


def test_the_controller_is_ours_and_not_the_package_of_that_name() -> None:
    where = "import control, sys; sys.stdout.write(control.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], check=True, capture_output=True, text=True
    ).stdout

    assert Path(found) == Path(__file__).parents[2] / "control" / "__init__.py"
