"""The lab itself: its networks come up, its servers serve, and nothing stays behind."""

import hashlib
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from urllib.request import urlopen

import pytest

from control.addresses import IpAddress
from control.model import Protocol
from tests.support.wait import eventually
from vagrant.lab import cleanup, namespaces
from vagrant.lab.errors import BusyError, CommandError
from vagrant.lab.hosts import PROJECT, Host, hosts, stories
from vagrant.lab.lab import Lab
from vagrant.lab.segment import ipv6_of
from vagrant.lab.topology import CLIENT, GATEWAY, VIP, DrTopology, NatTopology

pytestmark = pytest.mark.waiting

THREAD_NAMESPACE = Path("/proc/thread-self/ns/net")
KILLED_RUN = """
import signal, sys
from vagrant.lab.lab import Lab
from vagrant.lab.topology import DrTopology

with Lab(sys.argv[1], DrTopology) as lab:
    lab.start_servers("b1")
    lab.wait_for_servers("b1")
    print("up", flush=True)
    signal.pause()
"""


def connects(client: Host, server: Host, address: IpAddress) -> bool:
    """Whether ``client`` can talk TCP with ``server`` at ``address``."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with server.socket(family) as listener, client.socket(family) as asking:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), 5000))
        listener.listen()
        asking.settimeout(2)
        asking.connect((str(address), 5000))
        accepted, source = listener.accept()
        with accepted:
            accepted.sendall(b"hello")
            return asking.recv(5) == b"hello" and source == asking.getsockname()


def connects_by_both(client: Host, server: Host, address: IPv4Address) -> bool:
    """Whether they can talk at ``address`` and at the IPv6 one beside it."""
    both = (address, ipv6_of(address))
    return all(connects(client, server, each) for each in both)


def get(client: Host, url: str) -> tuple[str, bytes]:
    """Return who answered, and the body."""
    with client.inside(), urlopen(url, timeout=2) as answer:
        return answer.headers["X-Backend"], answer.read()


def addresses(host: Host) -> str:
    return host.run("ip", "-brief", "address")


def has(host: Host, address: IpAddress) -> bool:
    return f" {address}/" in addresses(host)


def lives(pid: int) -> bool:
    """Whether ``pid`` runs; a zombie whose parent was killed does not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except FileNotFoundError:
        return False


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def test_in_direct_return_everyone_is_on_one_segment(lab_name):
    with Lab(lab_name, DrTopology) as lab:
        topology = lab.topology

        for name, host in topology.balancers.items():
            address = topology.balancer_addresses(name)["eth0"]
            assert connects_by_both(lab.client, host, address)
        for name, host in topology.backends.items():
            assert connects_by_both(lab.client, host, topology.backend_address(name))


def test_in_direct_return_no_backend_says_by_arp_that_it_has_the_vip(lab_name):
    with Lab(lab_name, DrTopology) as lab:
        lab.client.sysctl("net.ipv4.neigh.eth0.retrans_time_ms", 50)

        with (
            lab.client.socket() as asking,
            pytest.raises(OSError, match="No route to host"),
        ):
            asking.connect((str(VIP), 80))


def test_in_direct_return_no_backend_says_by_neighbour_discovery_that_it_has_the_vip(
    lab_name,
):
    with Lab(lab_name, DrTopology) as lab:
        lab.client.sysctl("net.ipv6.neigh.eth0.retrans_time_ms", 50)

        with pytest.raises(CommandError, match="Address unreachable"):
            lab.client.run("ping", "-c1", "-W5", str(ipv6_of(VIP)))


def test_in_nat_the_client_reaches_the_balancers_and_they_the_backends(lab_name):
    with Lab(lab_name, NatTopology) as lab:
        topology = lab.topology

        for name, balancer in topology.balancers.items():
            address = topology.balancer_addresses(name)["eth0"]
            assert connects_by_both(lab.client, balancer, address)
            for backend, host in topology.backends.items():
                address = topology.backend_address(backend)
                assert connects_by_both(balancer, host, address)


def test_in_nat_backends_reach_the_client_through_whoever_is_their_gateway(lab_name):
    with Lab(lab_name, NatTopology) as lab:
        with lab.topology.balancers["lb2"].netlink() as ip:
            index = ip.link_lookup(ifname="eth1")[0]
            ip.addr("add", index=index, address=str(GATEWAY), prefixlen=24)

        with lab.client.netlink() as ip:
            ip.route("add", dst="10.20.0.0/24", gateway="10.0.0.12")
        assert connects(lab.topology.backends["b1"], lab.client, CLIENT)


def test_an_unplugged_balancer_is_out_of_reach_until_it_is_plugged_in(lab_name):
    with Lab(lab_name, DrTopology) as lab:
        lb1 = lab.topology.balancers["lb1"]
        address = lab.topology.balancer_addresses("lb1")["eth0"]
        lab.client.sysctl("net.ipv4.neigh.eth0.retrans_time_ms", 50)

        lab.topology.unplug(lb1)
        with pytest.raises(OSError, match="No route to host"):
            connects(lab.client, lb1, address)
        lab.topology.plug(lb1)

        def is_reached() -> bool:
            with suppress(OSError):  # the bridge may not forward to that port yet
                return connects(lab.client, lb1, address)
            return False

        eventually(is_reached, within=5, what="it is reached again")


def test_a_web_server_names_itself_and_has_the_large_file(lab_name):
    with Lab(lab_name, DrTopology) as lab:
        lab.start_servers("b2")
        lab.wait_for_servers("b2")
        url = f"http://{lab.topology.backend_address('b2')}"

        assert get(lab.client, f"{url}/") == ("b2", b"b2\n")
        name, body = get(lab.client, f"{url}/large.bin")
        assert name == "b2"
        wanted = lab.large_file.read_bytes()
        assert hashlib.sha256(body).digest() == hashlib.sha256(wanted).digest()


def test_a_udp_server_answers_from_the_address_that_was_asked(lab_name):
    services = [DrTopology.service("dns", 53, Protocol.UDP)]
    with Lab(lab_name, DrTopology, services) as lab:
        lab.start_servers("b3")
        lab.wait_for_servers("b3")
        with lab.client.netlink() as ip:  # what a balancer would do for us
            ip.route(
                "add", dst=f"{VIP}/32", gateway=str(lab.topology.backend_address("b3"))
            )

        with lab.client.socket(kind=socket.SOCK_DGRAM) as asking:
            asking.settimeout(2)
            asking.sendto(b"who?", (str(VIP), 53))
            assert asking.recvfrom(100) == (b"b3 who?", (str(VIP), 53))


def test_a_killed_server_refuses_connections_and_can_be_started_again(lab_name):
    with Lab(lab_name, DrTopology) as lab:
        lab.start_servers("b1")
        lab.wait_for_servers("b1")
        url = f"http://{lab.topology.backend_address('b1')}/"

        lab.kill_servers("b1")
        with pytest.raises(OSError, match="Connection refused"):
            get(lab.client, url)
        lab.start_servers("b1")
        lab.wait_for_servers("b1")
        assert get(lab.client, url) == ("b1", b"b1\n")


def test_opening_a_socket_on_a_host_leaves_the_thread_where_it_was():
    with hosts("a") as (a,):
        home = THREAD_NAMESPACE.stat().st_ino

        a.socket().close()
        with pytest.raises(OSError, match="Invalid argument"):
            a.socket(kind=12345)
        assert THREAD_NAMESPACE.stat().st_ino == home


def test_a_failing_command_says_what_it_said():
    with (
        hosts("a") as (a,),
        pytest.raises(CommandError, match="on a: ls /none: exit code 2"),
    ):
        a.run("ls", "/none")


def test_a_failure_tells_how_programs_ended_and_what_they_logged(tmp_path):
    dies = ("sh", "-c", "echo it has no file; exit 3")

    def fail() -> None:
        with hosts("a") as (a,):
            a.popen(*dies, log=tmp_path / "said").wait(5)
            a.popen("sh", "-c", "exit 4").wait(5)
            a.popen("sleep", "60")  # which has nothing to tell
            told.append(stories())
            raise ZeroDivisionError

    told = []
    with pytest.raises(ZeroDivisionError) as caught:
        fail()

    assert told[0].splitlines() == [
        f"on a: {shlex.join(dies)}: ended with 3",
        f"the end of {tmp_path}/said:",
        "it has no file",
        "on a: sh -c 'exit 4': ended with 4",
    ]
    assert caught.value.__notes__ == told
    assert stories() == ""


def test_nothing_is_left_of_a_lab_even_if_it_ends_by_an_exception(lab_name):
    def fail() -> None:
        with Lab(lab_name, NatTopology) as lab:
            lab.start_servers("b1")
            servers.append(lab.servers["b1"]["web"].pid)
            assert str(cleanup.bpffs(lab_name)) in mounts()
            raise ZeroDivisionError

    servers = []
    with pytest.raises(ZeroDivisionError):
        fail()

    assert not cleanup.exists(lab_name)
    assert str(cleanup.directory(lab_name)) not in mounts()
    assert not lives(servers[0])
    assert not cleanup.directory(lab_name).with_suffix(".lock").exists()


def test_the_remains_of_a_killed_run_are_removed_by_the_next(lab_name):
    command = (sys.executable, "-c", KILLED_RUN, lab_name)
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"up\n"
        run.send_signal(signal.SIGKILL)
    (server,) = namespaces.processes(f"{cleanup.prefix(lab_name)}b1")

    with Lab(lab_name, NatTopology) as lab:
        there = namespaces.named(cleanup.prefix(lab_name))
        assert f"{cleanup.prefix(lab_name)}switch" not in there
        assert lab.topology.backends["b1"].namespace in there
        assert not lives(server)
    assert not cleanup.exists(lab_name)


def test_cleaning_up_does_not_touch_a_lab_with_a_similar_name(lab_name):
    similar = f"{lab_name}x"
    with hosts("b1", prefix=cleanup.prefix(similar)) as (other,):
        process = other.popen("sleep", "60")
        eventually(lambda: namespaces.processes(other.namespace), within=2, what="it runs")

        cleanup.remove(lab_name)
        assert namespaces.processes(other.namespace) == [process.pid]


def test_two_runs_at_once_are_refused(lab_name):
    with Lab(lab_name, DrTopology) as lab:
        with pytest.raises(BusyError, match="another process is using the lab"):
            Lab(lab_name, DrTopology).__enter__()

        assert namespaces.named(lab.client.namespace)


def test_a_lab_that_is_left_running_is_found_by_its_name(lab_name):
    with Lab(lab_name, DrTopology) as lab:
        lab.start_servers("b1")
        lab.leave_running()
    server = lab.servers["b1"]["web"]
    assert server.running

    with cleanup.exclusive(lab_name):
        cleanup.remove(lab_name)
    eventually(lambda: not server.running, within=2, what="the server is gone")
    assert not cleanup.exists(lab_name)


@pytest.mark.parametrize("kind", [DrTopology, NatTopology])
def test_a_node_that_is_switched_off_loses_its_addresses_to_the_other(lab_name, kind):
    with Lab(lab_name, kind) as lab:
        lb1, lb2 = lab.nodes["lb1"], lab.nodes["lb2"]
        lb1.start()
        lb2.start()
        lb1.wait_until_state("active")
        lb2.wait_until_state("backup")

        lb1.power_off()
        lb2.wait_until_state("active")
        assert lb1.vrrp_state() is None
        for vip in (VIP, ipv6_of(VIP)):
            has_it = partial(has, lb2.host, vip)
            eventually(has_it, within=2, what="it has it")
            assert connects(lab.client, lb2.host, vip)


def test_a_node_that_is_switched_on_again_has_forgotten_its_virtual_addresses(lab_name):
    with Lab(lab_name, NatTopology) as lab:
        lb1 = lab.nodes["lb1"]
        lb1.start()
        lb1.wait_until_state("active")
        eventually(
            lambda: "10.20.0.1/24" in addresses(lb1.host), within=2, what="it has it"
        )

        lb1.power_off()
        lb1.power_on()
        lb1.vrrpd.kill()
        assert "10.20.0.11/24" in addresses(lb1.host)
        assert "10.20.0.1/24" not in addresses(lb1.host)
        virtual = (VIP, ipv6_of(VIP), ipv6_of(GATEWAY), IPv6Address("fe80::33"))
        assert not [each for each in virtual if has(lb1.host, each)]
