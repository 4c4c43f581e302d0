"""The API over TCP: certificates on both ends, roles by their names, rotation."""

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
import trustme
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from structlog.testing import capture_logs

from control.access import Access, Tcp
from control.api import tls
from control.api.server import check, serving
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.cli.main import guideway
from control.errors import HostError
from control.store import Store
from tests.support.api_client import ADD_WEB
from tests.support.certificates import Authority
from tests.support.running_api import Node, running_api


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@contextmanager
def served(directory: Path, tcp: Tcp) -> Iterator[Node]:
    with running_api(directory, Access(tcp=tcp)) as (_, node):
        yield node


@contextmanager
def connected(
    authority: Authority, node: Node, client: trustme.LeafCert | None
) -> Iterator[LoadBalancerStub]:
    credentials = authority.credentials(client)
    # Channels to one place share a connection, unless told not to.
    options = [("grpc.use_local_subchannel_pool", 1)]
    where = f"127.0.0.1:{node.tcp_port}"
    with grpc.secure_channel(where, credentials, options) as channel:
        yield LoadBalancerStub(channel)


def code(call: Callable[[], object]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code()


def test_an_organisation_has_the_role_that_the_file_gives_it(
    tmp_path: Path, authority: Authority
) -> None:
    with capture_logs() as logs, served(tmp_path, authority.serve()) as node:
        with connected(authority, node, authority.client("alice", "ops")) as stub:
            assert stub.AddService(ADD_WEB).version == 1
        with connected(authority, node, authority.client("eve", "audit")) as stub:
            assert len(stub.ListServices(pb.ListServicesRequest()).services) == 1
            request = pb.RemoveServiceRequest(name="web")
            refused = code(lambda: stub.RemoveService(request))

    assert refused is grpc.StatusCode.PERMISSION_DENIED
    (stored,) = [line for line in logs if line["event"] == "desired state changed"]
    assert stored["author"] == "CN=alice,O=ops"
    (line,) = [line for line in logs if line["event"] == "change refused"]
    assert line["author"] == "CN=eve,O=audit"
    assert line["via"].startswith("tcp 127.0.0.1:")


def test_a_common_name_can_have_a_role(tmp_path: Path, authority: Authority) -> None:
    with (
        served(tmp_path, authority.serve()) as node,
        connected(authority, node, authority.client("carol", "elsewhere")) as stub,
    ):
        assert stub.GetStatus(pb.GetStatusRequest()).node.release == "0.1.0"


@pytest.mark.parametrize(
    ("name", "organization"),
    [("mallory", "others"), (None, None), ("O=ops", "x"), ("x,O=ops", "x"), ("x", "OPS")],
)
def test_a_certificate_of_nobody_we_know_is_good_for_nothing(
    tmp_path: Path, authority: Authority, name: str | None, organization: str | None
) -> None:
    client = authority.client(name, organization)

    with (
        served(tmp_path, authority.serve()) as node,
        connected(authority, node, client) as stub,
    ):
        refused = code(lambda: stub.GetStatus(pb.GetStatusRequest()))

    assert refused is grpc.StatusCode.PERMISSION_DENIED


def test_a_client_without_a_certificate_or_with_another_cas_gets_nowhere(
    tmp_path: Path, authority: Authority
) -> None:
    foreign = trustme.CA().issue_cert("x", common_name="alice", organization_name="ops")

    with served(tmp_path, authority.serve()) as node:
        for client in (None, foreign):
            with connected(authority, node, client) as stub:
                refused = code(lambda: stub.GetStatus(pb.GetStatusRequest()))
            assert refused is grpc.StatusCode.UNAVAILABLE
        with grpc.insecure_channel(f"127.0.0.1:{node.tcp_port}") as channel:
            stub = LoadBalancerStub(channel)
            refused = code(lambda: stub.GetStatus(pb.GetStatusRequest()))
    assert refused is grpc.StatusCode.UNAVAILABLE


def certificate_of(node: Node, authority: Authority) -> str:
    """Return the certificate that the daemon shows to a new connection."""
    context = ssl.create_default_context(cadata=authority.ca.cert_pem.bytes().decode())
    context.set_alpn_protocols(["h2"])
    authority.client("alice", "ops").configure_cert(context)
    with (
        socket.create_connection(("127.0.0.1", node.tcp_port), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
    ):
        return ssl.DER_cert_to_PEM_cert(wrapped.getpeercert(binary_form=True))


def test_certificates_that_are_replaced_count_from_the_next_connection_on(
    tmp_path: Path, authority: Authority
) -> None:
    with capture_logs() as logs, served(tmp_path, authority.serve()) as node:
        before = certificate_of(node, authority)
        with connected(authority, node, authority.client("alice", "ops")) as stub:
            stub.GetStatus(pb.GetStatusRequest())

            renewed = authority.renew()

            assert certificate_of(node, authority).encode() == renewed
            stub.GetStatus(pb.GetStatusRequest())  # by the connection that there was

    assert before.encode() != renewed
    assert [line["event"] for line in logs].count("certificates read again") == 1


def test_another_ca_of_clients_counts_from_the_next_connection_on(
    tmp_path: Path, authority: Authority
) -> None:
    client = authority.client("alice", "ops")

    with served(tmp_path, authority.serve()) as node:
        with connected(authority, node, client) as stub:
            stub.GetStatus(pb.GetStatusRequest())
        trustme.CA().cert_pem.write_to_path(authority.client_ca)
        with connected(authority, node, client) as stub:
            refused = code(lambda: stub.GetStatus(pb.GetStatusRequest()))

    assert refused is grpc.StatusCode.UNAVAILABLE


def test_files_that_are_no_good_leave_the_ones_before_in_use(
    tmp_path: Path, authority: Authority
) -> None:
    with capture_logs() as logs, served(tmp_path, authority.serve()) as node:
        before = certificate_of(node, authority)
        authority.certificate.write_text("half a cert")

        assert certificate_of(node, authority) == before
        assert certificate_of(node, authority) == before

    (line,) = [line for line in logs if line["event"] == "certificates not read again"]
    assert line["problem"] == (
        f"{authority.certificate} has no certificate that can be read (PEM)"
    )


def test_a_key_that_others_can_read_is_refused(authority: Authority) -> None:
    tcp = authority.serve()
    authority.key.chmod(0o644)

    with pytest.raises(HostError) as raised:
        tls.read(tcp)

    assert str(raised.value) == (
        f"{authority.key} is a key, and its mode is 0644: make it 0600, or 0640 if a group "
        "has to read it"
    )
    authority.key.chmod(0o640)
    assert tls.read(tcp)


def test_a_key_of_another_certificate_is_refused(authority: Authority) -> None:
    tcp = authority.serve()
    key = authority.key.read_bytes()
    authority.renew()
    authority.key.write_bytes(key)

    with pytest.raises(
        HostError, match=r"server\.key is not the key of the certificate in"
    ):
        tls.read(tcp)


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("certificate", None, "cannot be read: No such file or directory"),
        ("certificate", "nonsense", "has no certificate that can be read (PEM)"),
        ("key", None, "cannot be read: No such file or directory"),
        ("key", "nonsense", "has no key that can be read (PEM)"),
        ("client_ca", None, "cannot be read: No such file or directory"),
        ("client_ca", "", "has no certificate that can be read (PEM)"),
    ],
)
def test_a_file_that_is_no_good_is_refused_before_anything_is_served(
    tmp_path: Path, authority: Authority, file: str, content: str | None, sentence: str
) -> None:
    tcp = authority.serve()
    path: Path = getattr(authority, file)
    path.unlink()
    if content is not None:
        path.touch(mode=0o600)
        path.write_text(content)

    with pytest.raises(HostError) as raised:
        check(tmp_path / "guidewayd.sock", Access(tcp=tcp))

    assert str(raised.value) == f"{path} {sentence}"


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(
    authority: Authority,
) -> None:
    tcp = authority.serve()
    key = load_pem_private_key(authority.key.read_bytes(), None)
    locked = BestAvailableEncryption(b"secret")
    authority.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))

    with pytest.raises(HostError, match="is encrypted, and nobody is here to type"):
        tls.read(tcp)


def test_a_certificate_that_has_expired_is_used_and_warned_of(
    authority: Authority,
) -> None:
    tcp = authority.serve()
    long_ago = datetime.now(UTC) - timedelta(days=1)
    made = authority.ca.issue_cert("127.0.0.1", not_after=long_ago)
    authority.key.write_bytes(made.private_key_pem.bytes())
    authority.certificate.write_bytes(made.cert_chain_pems[0].bytes())

    with capture_logs() as logs:
        assert tls.read(tcp)

    (line,) = logs
    assert line["event"] == "certificate has expired"
    assert line["file"] == str(authority.certificate)


def test_a_port_that_somebody_has_is_refused(tmp_path: Path, authority: Authority) -> None:
    tcp = authority.serve()
    (tmp_path / "second").mkdir()

    async def start(store: Store) -> None:
        taken, node = replace(tcp, port=first.tcp_port), Node(store)
        socket = tmp_path / "second" / "sock"
        async with serving(socket, store, node, node, access=Access(tcp=taken)):
            pass

    with (
        served(tmp_path, tcp) as first,
        closing(Store.open(tmp_path / "second" / "desired.db")) as store,
        pytest.raises(HostError) as raised,
    ):
        asyncio.run(start(store))

    assert str(raised.value) == (
        f"the API cannot listen at 127.0.0.1:{first.tcp_port} (`api.listen`): is the "
        "address this host's, and the port free?"
    )
    assert sorted(path.name for path in (tmp_path / "second").iterdir()) == ["desired.db"]


def run(node: Node, files: tuple[Path, Path, Path], *words: str) -> Result:
    ca, certificate, key = map(str, files)
    tls = ("--ca", ca, "--cert", certificate, "--key", key)
    where = ("--address", f"localhost:{node.tcp_port}")
    return CliRunner().invoke(guideway, [*where, *tls, *words])


def test_the_command_line_reaches_a_daemon_on_another_host(
    tmp_path: Path, authority: Authority
) -> None:
    with capture_logs(), served(tmp_path, authority.serve()) as node:
        alice = authority.client_files("alice", "ops")
        mallory = authority.client_files("mallory", "others")
        add = [
            "service",
            "add",
            "web",
            "--vip",
            "192.0.2.1",
            "--port",
            "80",
            "--mode",
            "dr",
        ]
        done = run(node, alice, *add)
        refused = run(node, mallory, "status")

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "service web is added at 192.0.2.1:80/tcp\n"
    assert refused.exit_code == 1
    assert refused.stderr == (
        "guideway: CN=mallory,O=others may not call /guideway.v1.LoadBalancer/GetStatus: "
        "they have no role here (`api.change`, `api.view`, `api.peer`)\n"
    )


def test_the_command_line_takes_its_files_from_the_environment(
    tmp_path: Path, authority: Authority
) -> None:
    with capture_logs(), served(tmp_path, authority.serve()) as node:
        ca, certificate, key = map(str, authority.client_files("alice", "ops"))
        environment = {
            "GUIDEWAY_ADDRESS": f"127.0.0.1:{node.tcp_port}",
            "GUIDEWAY_CA": ca,
            "GUIDEWAY_CERT": certificate,
            "GUIDEWAY_KEY": key,
        }
        result = CliRunner().invoke(guideway, ["status"], env=environment)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("guideway:")


def test_the_command_line_comes_before_the_environment(tmp_path: Path) -> None:
    environment = {"GUIDEWAY_ADDRESS": "127.0.0.1:1", "GUIDEWAY_CA": "/nowhere"}
    with capture_logs(), running_api(tmp_path) as (socket, _):
        words = ["--socket", str(socket), "status"]
        result = CliRunner().invoke(guideway, words, env=environment)

    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize("wrong", ["ca", "cert", "key", "nonsense"])
def test_certificates_that_do_not_fit_are_one_sentence(
    tmp_path: Path, authority: Authority, wrong: str
) -> None:
    other = Authority(tmp_path / "other")
    other.serve()
    with capture_logs(), served(tmp_path, authority.serve()) as node:
        files = dict(
            zip(["ca", "cert", "key"], authority.client_files("a", "ops"), strict=True)
        )
        strange = dict(
            zip(["ca", "cert", "key"], other.client_files("a", "ops"), strict=True)
        )
        if wrong == "nonsense":
            files["cert"].write_text("nonsense")
        elif wrong == "cert":
            files |= {"cert": strange["cert"], "key": strange["key"]}
        else:
            files[wrong] = strange[wrong]
        words = [f"--{name}={path}" for name, path in files.items()]
        # By itself: gRPC must not write to its stderr, either.
        result = subprocess.run(
            [
                *(sys.executable, "-m", "control.cli.main"),
                *("--address", f"localhost:{node.tcp_port}", *words, "status"),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
        )

    assert result.returncode == 1
    assert result.stderr.startswith(
        f"guideway: no TLS with localhost:{node.tcp_port}: is --ca the CA of its "
        "certificate, is that for this host, does --key belong to --cert, and does its "
        "`api.client_ca` know yours? ("
    )
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--address localhost:1", "--address needs --ca and --cert and --key, too"),
        ("--ca /nowhere", "--ca goes with --address"),
        (
            "--address localhost --ca /a --cert /b --key /c",
            "--address 'localhost' is not HOST:PORT",
        ),
        (
            "--address a:0 --ca /a --cert /b --key /c",
            "--address 'a:0' is not HOST:PORT",
        ),
        (
            "--socket /s --address a:1 --ca /a --cert /b --key /c",
            "--socket and --address are for two places",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(words: str, sentence: str) -> None:
    result = CliRunner().invoke(guideway, [*words.split(), "status"])

    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_host_where_nobody_listens_is_said_so(authority: Authority) -> None:
    authority.directory.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = f"--address 127.0.0.1:{port} --ca /a --cert /b --key /c status".split()

    result = CliRunner().invoke(guideway, words)

    assert result.exit_code == 1
    assert result.stderr == (
        f"guideway: cannot reach guidewayd at 127.0.0.1 port {port}: is it running, with "
        "`api.listen`? (Connection refused)\n"
    )


def test_files_of_the_command_line_that_are_not_there_are_said_so(
    tmp_path: Path, authority: Authority
) -> None:
    with capture_logs(), served(tmp_path, authority.serve()) as node:
        gone = tmp_path / "gone.pem"
        result = run(node, (authority.client_ca, gone, gone), "status")

    assert result.exit_code == 1
    assert result.stderr == (
        f"guideway: {gone} cannot be read: No such file or directory\n"
    )
