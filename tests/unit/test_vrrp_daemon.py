"""How guideway-vrrpd refuses to start, and what it says of a file."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from vrrp.config import parse
from vrrp.daemon import main
from vrrp.errors import HostError
from vrrp.host import check_users, effective_capabilities, kernel_version

FRONT = """
instances:
  - {name: front, interface: eth0, vrid: 51, addresses: [10.0.0.1/32]%s}
  - {name: back, interface: eth1, vrid: 51, addresses: [10.0.0.2/32]}
"""
PROGRAM = "{command: [/bin/true], user: %s}"
GROUP = "sync_groups: [{name: both, instances: [front, back], notify: %s}]"


def test_a_mistake_in_the_file_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "vrrp.yaml"
    path.write_text("instances: 1", encoding="utf-8")

    result = CliRunner().invoke(main, ["--config", str(path)])

    assert result.exit_code == 1
    assert result.output == (
        f"guideway-vrrpd: {path}:1: instances: Expected `array`, got `int`\n"
    )


def test_a_usage_error_is_exit_code_2() -> None:
    assert CliRunner().invoke(main, []).exit_code == 2


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.1.0-18-amd64", (6, 1)),
        ("6.18.44", (6, 18)),
        ("5.4-rc1", (5, 4)),
        ("7.0+", (7, 0)),
    ],
)
def test_a_kernel_release_has_a_version(release: str, version: tuple[int, int]) -> None:
    assert kernel_version(release) == version


def test_the_capabilities_are_read_from_what_the_kernel_says_of_us() -> None:
    status = "Name:\tpython\nCapPrm:\t0000000000003000\nCapEff:\t0000000000002000\n"

    assert effective_capabilities(status) == 0x2000


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            FRONT % "" + "checks: [{name: a, type: script, command: [/x], user: nobody7}]",
            "check a",
        ),
        (FRONT % f", notify: {PROGRAM % 'nobody7'}", "`notify` of instance front"),
        (FRONT % "" + GROUP % (PROGRAM % "nobody7"), "`notify` of sync group both"),
    ],
)
def test_a_program_of_a_user_that_this_host_has_not_is_refused(
    text: str, what: str
) -> None:
    with pytest.raises(HostError) as caught:
        check_users(parse(text, "vrrp.yaml"))

    assert str(caught.value) == (
        f"{what}: this host has no user 'nobody7'; `useradd --system nobody7` makes one"
    )


def test_a_program_of_a_user_that_there_is_or_of_none_is_run() -> None:
    script = "checks: [{name: a, type: script, command: [/x], user: root}]"

    check_users(parse(FRONT % f", notify: {PROGRAM % 'null'}" + script, "vrrp.yaml"))


LACKING = """
checks:
  - {name: uplink, type: interface, interface: nowhere0}
instances:
  - name: front
    interface: lo
    vrid: 51
    addresses:
      - 10.0.0.1/32
      - {address: 10.20.0.1/24, interface: nowhere1}
    unadvertised: [{address: 2001:db8::1/64, interface: lo}]
  - name: back
    interface: nowhere2
    vrid: 51
    addresses: [10.0.0.2/32]
"""
UNRUNNABLE = """
checks:
  - {name: a, type: script, command: [/nowhere/curl, -sf]}
  - {name: b, type: script, command: [/bin/true], user: nobody7}
instances:
  - name: front
    interface: lo
    vrid: 51
    addresses: [10.0.0.1/32]
    notify: {command: [/etc/passwd]}
  - {name: back, interface: nowhere0, vrid: 52, addresses: [10.0.0.2/32]}
sync_groups:
  - name: both
    instances: [front, back]
    notify: {command: [/bin/true], user: root}
"""
NO_INTERFACE = "there is no interface %s on this host: %s until there is one"


def check(tmp_path: Path, text: str) -> tuple[int, list[str], str]:
    """Return the exit code of `--check`, what it says on stderr, and on stdout."""
    path = tmp_path / "vrrp.yaml"
    path.write_text(text, encoding="utf-8")
    result = CliRunner().invoke(main, ["--config", str(path), "--check"])
    told, said = (
        text.replace(f"{tmp_path}/", "") for text in (result.stderr, result.stdout)
    )
    return result.exit_code, told.splitlines(), said


def test_a_check_warns_of_interfaces_that_this_host_has_not_got_yet(
    tmp_path: Path,
) -> None:
    rests = "the instance rests"
    missing = {
        "vrrp.yaml:10: instances[0] (front), addresses[1] (10.20.0.1/24)": (
            NO_INTERFACE % ("nowhere1", rests)
        ),
        "vrrp.yaml:13: instances[1] (back)": NO_INTERFACE % ("nowhere2", rests),
        "vrrp.yaml:3: checks[0] (uplink)": NO_INTERFACE % ("nowhere0", "the check fails"),
    }

    assert check(tmp_path, LACKING) == (
        0,
        [f"guideway-vrrpd: warning: {at}, interface: {it}" for at, it in missing.items()],
        "vrrp.yaml is right; instances: 2; warnings: 3\n",
    )


def test_a_check_refuses_programs_and_users_that_this_host_has_not(tmp_path: Path) -> None:
    assert check(tmp_path, UNRUNNABLE) == (
        1,
        [
            (
                "guideway-vrrpd: vrrp.yaml:10: instances[0] (front), notify, command: "
                "/etc/passwd is not executable; `chmod +x /etc/passwd` makes it so"
            ),
            "guideway-vrrpd: warning: vrrp.yaml:11: instances[1] (back), interface: "
            + NO_INTERFACE % ("nowhere0", "the instance rests"),
            (
                "guideway-vrrpd: vrrp.yaml:3: checks[0] (a), command: "
                "/nowhere/curl: No such file or directory"
            ),
            (
                "guideway-vrrpd: vrrp.yaml:4: checks[1] (b), user: this host has no user "
                "'nobody7'; `useradd --system nobody7` makes one"
            ),
        ],
        "",
    )


def test_a_check_finds_nothing_where_nothing_is_missing(tmp_path: Path) -> None:
    text = (
        "instances:\n"
        "  - {name: a, interface: lo, vrid: 1, addresses: [10.0.0.1/32], "
        "notify: {command: [/bin/true], user: root}}\n"
    )

    assert check(tmp_path, text) == (0, [], "vrrp.yaml is right; instances: 1\n")


def test_a_bug_is_exit_code_70(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stumble(_: Path) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr("vrrp.daemon.read", stumble)

    result = CliRunner().invoke(main, ["--config", str(tmp_path)])

    assert result.exit_code == 70
    assert result.stderr.endswith(
        "guideway-vrrpd: an unexpected error, which the log describes, has ended it\n"
    )
