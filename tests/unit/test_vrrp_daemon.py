"""How guideway-vrrpd refuses to start."""

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
