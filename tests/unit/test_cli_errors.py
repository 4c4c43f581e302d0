"""The command line: what goes wrong, and help."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from control.cli.main import guideway
from tests.support.command_line import ADD_WEB, CommandLine, command_line
from tests.support.running_api import Node
from tests.support.users import AS_ROOT, become


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    with command_line(tmp_path) as cli:
        yield cli


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("service show mail", "no service 'mail'"),
        ("service show wbe", "no service 'wbe'; did you mean 'web'?"),
        ("service remove webb", "no service 'webb'; did you mean 'web'?"),
        (
            "service add w --vip 192.0.2.9 --port 0 --mode dr --check tcp",
            "a service of every port needs a port in its check",
        ),
        ("backend list mail", "no service 'mail'"),
        ("backend drain web c", "no backend 'c' in service 'web'"),
        (
            "backend add web 10.0.0.1 --name c",
            "the address 10.0.0.1:80, which another backend has already",
        ),
        (
            "backend add web 2001:db8::1",
            (
                "service 'web', backend '2001:db8::1': 2001:db8::1 is IPv6, and the VIP "
                "192.0.2.10 is IPv4: both have to be of one family"
            ),
        ),
        (
            "service add w --vip 192.0.2.9 --port 80 --mode nat --backend [2001:db8::1:80",
            "backends[0].address: '[2001:db8::1:80' is not an IP address",
        ),
        ("backend add web nowhere", "backend.address: 'nowhere' is not an IP address"),
        ("service change web --ring-size 4096", "ring size 4096 is not a prime number"),
        ("service change web --check-interval nan", "interval nan s is not in 0.01…3600 s"),
        (ADD_WEB, "service 'web' exists already"),
        (
            "service add two --vip 10.0.0.1 --port 80 --mode nat",
            "'a': 10.0.0.1 is the VIP of service 'two', and a VIP is not forwarded to",
        ),
    ],
)
def test_what_the_daemon_refuses_is_one_sentence(
    cli: CommandLine, line: str, sentence: str
) -> None:
    cli.said(ADD_WEB)

    result = cli.run(line)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("guideway: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "backend add web 10.0.0.3:80,weight=2 --port 80 --weight 3",
            "--port and --weight: stands behind the address already; say it once",
        ),
        ("backend add web 10.0.0.3:http", "'http' is not a valid integer"),
        (
            "service change web",
            "say what to change: --name, --vip, --port, --protocol, --mode, --ring",
        ),
        ("service change web --no-check --fall 2", "--no-check contradicts the other"),
        (
            "service change web --keep-flows --move-flows",
            "--keep-flows contradicts --move-flows",
        ),
        (
            f"{ADD_WEB} --ignore-handshakes --watch-handshakes",
            "--watch-handshakes contradicts --ignore-handshakes",
        ),
        ("backend set web a", "say what to change: --weight, --state, --zone or --check"),
        ("backend set web a --weight 65536", "65536 is not in the range 0<=x<=65535"),
        ("backend set web a --weight 1.5", "'1.5' is not a valid integer."),
        ("service change web --max-ejected x", "'x' is not a valid number."),
        (
            "backend drain web a --deadline 0s",
            "--deadline 0s would cut its flows at once: that is `backend set … --state",
        ),
        ("backend set web a --weight -1", "-1 is not in the range 0<=x<=65535"),
        (ADD_WEB + " --backend 10.0.0.3:http", "'http' is not a valid integer"),
        (
            ADD_WEB + " --backend 10.0.0.3,wait=3",
            "'wait=3' is none of weight=N, name=X and zone=Z",
        ),
        (ADD_WEB + " --backend 10.0.0.3,weight=x", "'x' is not a valid integer"),
        ("backend list -o xml", "'xml' is not one of 'table', 'json', 'yaml'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_usage(
    cli: CommandLine, line: str, sentence: str
) -> None:
    result = cli.run(line)

    assert result.exit_code == 2
    assert sentence in result.stderr
    assert cli.node.store.version == 0


def invoke(socket: Path) -> Result:
    return CliRunner().invoke(guideway, ["status"], env={"GUIDEWAY_SOCKET": str(socket)})


def test_a_daemon_that_does_not_run_is_said_so(tmp_path: Path) -> None:
    socket = tmp_path / "guidewayd.sock"

    result = invoke(socket)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"guideway: cannot reach guidewayd at {socket}: is it running? "
        "(No such file or directory)\n"
    )


def test_a_path_that_is_too_long_is_said_so(tmp_path: Path) -> None:
    result = invoke(tmp_path / ("x" * 108))

    assert result.exit_code == 1
    assert "the path of a unix socket can have 107: choose a shorter one" in result.stderr


@AS_ROOT
def test_who_is_not_root_is_told(cli: CommandLine, tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    result = subprocess.run(
        [*become(65534, 65534), sys.executable, "-m", "control.cli.main", "status"],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "GUIDEWAY_SOCKET": str(cli.socket)},
    )

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        f"guideway: may not open {cli.socket}: only root may talk to guidewayd, and the "
        "members of the group that its file names (try sudo)\n"
    )


def test_a_daemon_that_does_not_answer_is_given_up(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: Node) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Node, "statistics", never)

    result = cli.run("--timeout 0.1 stats")

    assert result.exit_code == 1
    assert result.stderr == (
        "guideway: guidewayd did not answer within 0.1 s (--timeout); what was asked of it "
        "may happen yet\n"
    )


def test_asking_for_help_does_not_import_grpc() -> None:
    script = (
        "import sys; from click.testing import CliRunner;"
        " from control.cli.main import guideway;"
        " CliRunner().invoke(guideway, ['--help']);"
        " sys.exit('grpc' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_command_has_an_example(cli: CommandLine) -> None:
    for group in ("service", "backend"):
        for name in guideway.commands[group].commands:
            assert f"Example: guideway {group} {name}" in cli.said(f"{group} {name} --help")
    for name in ("stats", "status"):
        assert f"Example: guideway {name}" in cli.said(f"{name} --help")


def test_output_that_cannot_be_written_is_one_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "control.cli.main", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    said = "guideway: cannot write its output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["--name", ""], "--name '' is no name; without it, the address is the name"),
        (["10.0.0.9,name="], "name: needs a value, as name=X"),
        (["10.0.0.9,zone"], "zone: needs a value, as zone=X"),
        (["10.0.0.9,weigth=2"], "did you mean `weight`?"),
        (["10.0.0.9,weight=1,weight=2"], "weight: is there twice"),
    ],
)
def test_a_slip_in_a_backend_is_said(
    cli: CommandLine, line: list[str], sentence: str
) -> None:
    place = [] if line[0][0] != "-" else ["10.0.0.9"]
    result = cli.run(["backend", "add", "web", *place, *line])

    assert result.exit_code == 2
    assert sentence in result.stderr
    assert cli.node.store.version == 0


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        ("htpt", "'htpt' is no kind of check; did you mean `http`?"),
        ("", "'' is no kind of check; kinds are tcp, tls, http,"),
        ("http,pth=/x", "pth: no such key here; did you mean `path`?"),
        ("http,header=x", "header: no such key here; did you mean `header.NAME`?"),
        ("tcp,path=/x", "path: no such key here: it goes with http, https, file"),
        ("tcp,frobnicate=1", "frobnicate: no such key here; keys are interval, timeout,"),
        ("http,path=/,path=/x", "path: is there twice"),
        ("http,header.X=1,header.X=2", "header.X: is there twice"),
    ],
)
def test_a_slip_in_a_check_is_said(cli: CommandLine, check: str, sentence: str) -> None:
    result = cli.run(["service", "change", "web", "--check", check])

    assert result.exit_code == 2
    assert f"Invalid value for '--check': {sentence}" in result.stderr


def test_a_service_of_every_port_is_shown_as_one(cli: CommandLine) -> None:
    said = cli.said(
        "service add all --vip 192.0.2.9 --port 0 --mode dr --no-check --backend 10.0.0.9"
    )

    assert said == "service all is added at 192.0.2.9:*/tcp\n"
    assert "10.0.0.9:*" in cli.said("backend list all")
    assert "+ service all  192.0.2.9:*/tcp, dr" in cli.said("diff 0")


def test_more_than_a_request_may_have_is_said_so(cli: CommandLine) -> None:
    file = cli.socket.with_name("large.yaml")
    headers = ", ".join(f"x{n}: {'y' * 1000}" for n in range(90))
    check = f"{{type: http, headers: {{{headers}}}}}"
    services = "\n".join(
        f"- {{name: s{n}, vip: 192.0.2.{n}, port: 80, mode: nat, "
        f"checks: {'&c [' + check + ']' if n == 1 else '*c'}}}"
        for n in range(1, 120)
    )
    file.write_text(f"services:\n{services}\n")

    result = cli.run(f"apply -f {file}")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "guideway: that is more than a request may have, which is 8 MiB\n"
    )
    assert cli.node.store.version == 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("show 99999999999999999999", "99999999999999999999 is not in the range 0<=x<="),
        ("history --before 99999999999999999999", "is not in the range 0<=x<="),
        ("rollback 1 --expected-version 99999999999999999999", "is not in the range"),
        ("export --version -1", "'-1' is not a version, which is a number"),
        ("diff one", "'one' is not a version, which is a number"),
        ("--timeout nan status", "--timeout nan is no number of seconds"),
    ],
)
def test_numbers_that_nobody_can_send_are_refused(
    cli: CommandLine, line: str, sentence: str
) -> None:
    result = cli.run(line)

    assert result.exit_code == 2
    assert sentence in result.stderr
