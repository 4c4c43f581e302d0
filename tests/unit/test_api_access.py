"""The API's socket: its group, and what the members of groups may do."""

import grp
import os
import pwd
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from control.access import Access, Role
from control.api import entrance
from control.api.address import target
from control.api.entrance import Members, User, read_name
from control.api.server import check
from control.api.sockets import make_directory
from control.api.v1 import guideway_pb2 as pb
from control.api.v1.guideway_pb2_grpc import LoadBalancerStub
from control.config import ApiConfig, parse
from control.errors import ConfigError
from tests.support.running_api import running_api
from tests.support.users import AS_ROOT, become

ALL = grp.getgrgid(os.getegid())
GUIDEWAYD = Path(__file__).parents[2] / "docs" / "guidewayd.md"


def run_as(
    socket: Path, words: list[str], groups: list[int]
) -> subprocess.CompletedProcess[str]:
    """Run ``guideway`` as another user, who is in ``groups``."""
    return subprocess.run(
        [*become(1, 65534, *groups), sys.executable, "-m", "control.cli.main", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, "GUIDEWAY_SOCKET": str(socket)},
    )


def gid(name: str) -> int:
    return grp.getgrnam(name).gr_gid


ADD = ["service", "add", "web", "--vip", "192.0.2.1", "--port", "80", "--mode", "dr"]


@AS_ROOT
def test_members_of_the_group_may_do_everything(open_path: Path) -> None:
    with (
        capture_logs() as logs,
        running_api(open_path, Access(group="games")) as (socket, _),
    ):
        found = socket.stat()
        done = run_as(socket, ADD, [gid("games")])
        refused = run_as(socket, ["status"], [gid("audio")])

    assert stat.S_IMODE(found.st_mode) == 0o660
    assert (found.st_uid, found.st_gid) == (os.geteuid(), gid("games"))
    assert (done.returncode, done.stderr) == (0, "")
    (stored,) = [line for line in logs if line["event"] == "desired state changed"]
    assert stored["author"] == pwd.getpwuid(1).pw_name
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"guideway: may not open {socket}: only root may")


@AS_ROOT
def test_with_a_group_for_changes_the_others_may_only_view(open_path: Path) -> None:
    access = Access(group="games", change_group="audio")
    with capture_logs(), running_api(open_path, access) as (socket, node):
        viewed = run_as(socket, ["service", "list"], [gid("games")])
        tried = run_as(socket, [*ADD, "--dry-run"], [gid("games")])
        refused = run_as(socket, ADD, [gid("games")])
        before = node.store.version
        done = run_as(socket, ADD, [gid("games"), gid("audio")])

    assert (viewed.returncode, viewed.stderr) == (0, "")
    assert (tried.returncode, tried.stderr) == (0, "")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"guideway: {pwd.getpwuid(1).pw_name} may not call "
        "/guideway.v1.LoadBalancer/AddService: it changes something, and they may only "
        "view\n"
    )
    assert before == 0
    assert (done.returncode, done.stderr) == (0, "")


LISTEN = """
from control.api.sockets import listening
with listening(path, "games"):
    print(path.stat().st_gid)
"""
CHECK = """
from control.access import Access
from control.api.server import check
check(path, Access(group="games"))
print(list(path.parent.iterdir()) or grp.getgrnam("games").gr_gid)
"""


@AS_ROOT
@pytest.mark.parametrize("does", [LISTEN, CHECK], ids=["start", "check before"])
def test_a_group_can_be_given_without_cap_chown_by_who_is_in_it(
    tmp_path: Path, does: str
) -> None:
    script = f"import grp, sys; from pathlib import Path; path = Path(sys.argv[1])\n{does}"

    def run(*groups: str) -> subprocess.CompletedProcess[str]:
        given = ("--groups", ",".join(str(gid(g)) for g in groups)) if groups else ()
        command = ("setpriv", "--bounding-set", "-chown", "--inh-caps", "-chown", *given)
        return subprocess.run(
            [*command, sys.executable, "-c", script, str(tmp_path / "socket")],
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
        )

    member, stranger = run("games"), run("audio")

    assert (member.returncode, member.stdout) == (0, f"{gid('games')}\n")
    assert stranger.returncode == 1
    assert stranger.stderr.endswith(
        "socket cannot be given to the group 'games' (`api.group`): Operation not "
        "permitted. Let guidewayd be in that group (in its systemd unit: "
        "SupplementaryGroups=games; in a container: --group-add), or have CAP_CHOWN\n"
    )


def test_a_directory_that_is_made_lets_the_group_through(tmp_path: Path) -> None:
    make_directory(tmp_path / "for-all", ALL.gr_name)
    make_directory(tmp_path / "for-root", None)

    assert stat.S_IMODE((tmp_path / "for-all").stat().st_mode) == 0o750
    assert (tmp_path / "for-all").stat().st_gid == ALL.gr_gid
    assert stat.S_IMODE((tmp_path / "for-root").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("access", "key"),
    [
        (Access(group="no-such-group"), "api.group"),
        (Access(group=ALL.gr_name, change_group="no-such-group"), "api.change_group"),
    ],
)
def test_a_group_that_there_is_not_is_refused_before_anything_is_touched(
    tmp_path: Path, access: Access, key: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        check(tmp_path / "run" / "socket", access)

    assert str(raised.value) == (
        f"{key}: this host has no group 'no-such-group'; "
        "`groupadd --system no-such-group` makes it"
    )
    assert not (tmp_path / "run").exists()


def test_root_and_ourselves_may_change_whatever_the_groups_are() -> None:
    members = Members(change_gid=4711)

    assert members.role(0, frozenset()) is Role.CHANGE
    assert members.role(os.geteuid(), frozenset()) is Role.CHANGE
    assert members.role(65533, frozenset({1, 4711})) is Role.CHANGE
    assert members.role(65533, frozenset({1, 2})) is Role.VIEW
    assert Members().role(65533, frozenset()) is Role.CHANGE


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("guidewayd/secret/0/VIEW/alice", User("alice", Role.VIEW)),
        ("guidewayd/secret/1f/CHANGE/a/b", User("a/b", Role.CHANGE)),
        ("guidewayd/other/0/CHANGE/alice", None),
        ("guidewayd/sécret/0/CHANGE/alice", None),
        ("somebody/secret/0/CHANGE/alice", None),
        ("guidewayd/secret", None),
        ("", None),
    ],
)
def test_only_connections_of_the_entrance_have_a_user(name: str, user: User | None) -> None:
    assert read_name(name, "secret") == user


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def call_everybody(name: str) -> None:
        monkeypatch.setattr(entrance, "_user_name", lambda _: name)

    return call_everybody


@pytest.mark.parametrize(
    ("name", "author"),
    [
        ("", f"uid {os.geteuid()}"),
        ("x" * 61, f"uid {os.geteuid()}"),
        ("two\nlines", f"uid {os.geteuid()}"),
        ("DOMAIN\\jörg müller", "DOMAIN\\jörg müller"),
        ("100%/x?#", "100%/x?#"),
    ],
)
def test_a_user_is_called_by_a_name_or_by_a_number(
    tmp_path: Path, names: Callable[[str], None], name: str, author: str
) -> None:
    names(name)

    with capture_logs() as logs, running_api(tmp_path) as (socket, _):
        _detach(socket)

    (line,) = [line for line in logs if line["event"] == "change made"]
    assert line["author"] == author


def _detach(socket: Path) -> None:
    with grpc.insecure_channel(target(socket)) as channel:
        LoadBalancerStub(channel).DetachDataPlane(pb.DetachDataPlaneRequest())


FILES = "certificate: /c\n  key: /k\n  client_ca: /a\n  "


@pytest.mark.parametrize(
    ("api", "sentence"),
    [
        ("change_group: ops", "`change_group` needs `group`"),
        ("group: a b", "the name of a group of this host"),
        ("listen: 10.0.0.1:7007", "`listen` needs `certificate`, `key`, `client_ca`, too"),
        (
            "listen: 10.0.0.1:7007\n  certificate: /c\n  key: /k\n  view: [O=a]",
            "`listen` needs `client_ca`, too: over TCP both ends have to show a",
        ),
        (
            f"{FILES}listen: 10.0.0.1:7007",
            "`listen` needs `change`, `view` or `peer`: whose",
        ),
        (f"{FILES}view: [ops]\n  listen: 10.0.0.1:7007", "O= and an organisation, or CN="),
        (f"{FILES}view: [O=a]\n  listen: 10.0.0.1", "'10.0.0.1' is not ADDRESS:PORT"),
        (f"{FILES}view: [O=a]\n  listen: 10.0.0.1:0", "is not ADDRESS:PORT"),
        (f"{FILES}view: [O=a]\n  listen: host:7007", "'host' is not an IP address"),
        ("certificate: /c", "`certificate` is of no use without `listen`"),
        ("view: [O=a]", "`view` is of no use without `listen`"),
    ],
)
def test_what_does_not_go_together_in_the_file_is_refused(api: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(f"interfaces: [eth0]\nservices: []\napi:\n  {api}\n", "guideway.yaml")

    assert sentence in str(raised.value)
    assert re.match(r"guideway\.yaml:\d+: api[,:[]", str(raised.value))


def test_what_the_documentation_shows_is_accepted() -> None:
    shown = re.findall(r"```yaml\n(api:.*?)```", GUIDEWAYD.read_text(), re.DOTALL)
    assert len(shown) == 2  # of clients, and of peers

    for api in shown:
        node, _ = parse(f"interfaces: [eth0]\nservices: []\n{api}", "docs")
        assert node.access.tcp
        assert node.access.tcp.where == "192.0.2.1:7007"
    assert node.sync.peers


def test_every_key_of_the_api_is_explained() -> None:
    section = GUIDEWAYD.read_text().partition("## The API\n")[2].partition("\n## ")[0]

    assert [key for key in ApiConfig.__struct_fields__ if f"`{key}`" not in section] == []


def test_the_file_says_who_may_use_the_api() -> None:
    text = (
        "interfaces: [eth0]\nservices: []\napi:\n  group: ops\n  change_group: admins\n  "
        "listen: '[2001:db8::1]:7007'\n  change: [O=ops, CN=alice]\n  view: [O=audit]\n  "
        + FILES
    )

    access = parse(text, "guideway.yaml")[0].access

    assert (access.group, access.change_group) == ("ops", "admins")
    assert access.tcp
    assert access.tcp.where == "[2001:db8::1]:7007"
    assert (access.tcp.change, access.tcp.view) == (("O=ops", "CN=alice"), ("O=audit",))
    assert [
        str(access.tcp.certificate),
        str(access.tcp.key),
        str(access.tcp.client_ca),
    ] == [
        "/c",
        "/k",
        "/a",
    ]
