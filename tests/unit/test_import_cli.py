"""``guideway import`` on the command line; no daemon is there."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from control import config
from control.cli.main import guideway
from tests.support.command_line import command_line
from vrrp import config as vrrp_config

SHOP = Path(__file__).parents[1] / "data" / "keepalived" / "shop"
RULES = "-A -t 192.0.2.1:80 -s wrr\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -g -w 1\n"


def run(*arguments: str, standard_input: str | bytes = "") -> Result:
    words = ["--socket", "/nowhere", "import", *arguments]
    return CliRunner().invoke(guideway, words, input=standard_input)


def test_both_files_are_printed_and_notes_go_to_stderr() -> None:
    result = run("keepalived", str(SHOP / "keepalived.conf"))
    first, second = result.stdout.split("---\n")

    assert result.exit_code == 0
    assert len(config.parse(first, "out")[1].services) == 2
    assert len(vrrp_config.parse(second, "out").instances) == 2
    notes = (SHOP / "notes.txt").read_text().replace("keepalived.conf:", "")
    assert result.stderr.replace(f"{SHOP}/keepalived.conf:", "") == notes


@pytest.mark.parametrize(
    ("program", "name"), [("guidewayd", "guideway.yaml"), ("guideway-vrrpd", "vrrp.yaml")]
)
def test_the_file_of_one_program_is_printed_alone(program: str, name: str) -> None:
    result = run("keepalived", str(SHOP / "keepalived.conf"), "--for", program)

    assert result.stdout == (SHOP / name).read_text()


def test_strict_takes_no_note() -> None:
    result = run("keepalived", str(SHOP / "keepalived.conf"), "--strict")
    count = len((SHOP / "notes.txt").read_text().splitlines())

    assert (result.exit_code, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert last == f"guideway: {count} lines cannot be imported as they are"


def test_rules_are_read_from_the_standard_input() -> None:
    result = run("ipvsadm", "-", "--interface", "eth0", "--strict", standard_input=RULES)

    assert (result.exit_code, result.stderr) == (0, "")
    node, desired = config.parse(result.stdout, "out")
    assert (node.interfaces, len(desired.services)) == (("eth0",), 1)


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text(RULES)

    result = run("ipvsadm", str(tmp_path / "rules"), "--interface", "eth0")

    assert result.stdout.startswith("# guideway.yaml, for guidewayd\ninterfaces: [eth0]\n")


@pytest.mark.parametrize(
    ("arguments", "standard_input", "sentence"),
    [
        (("keepalived", "/nowhere"), "", "/nowhere: cannot be read: No such file or"),
        (("ipvsadm", "-"), RULES, "standard input: says nothing of interfaces"),
        (("ipvsadm", "-"), b"\xff\xfe", "standard input:1: is no rule"),
        (("ipvsadm", "-"), "\n" * (5 << 20), "standard input: there is more than 4 MiB"),
        (
            ("ipvsadm", "-", "--interface", "eth0/1"),
            RULES,
            "what comes out is not accepted: guideway.yaml:2: interfaces[0]: Expected",
        ),
        (
            ("keepalived", str(SHOP / "vrrp.yaml")),
            "",
            f"{SHOP}/vrrp.yaml:32: the block that begins here has no end",
        ),
    ],
)
def test_what_cannot_be_imported_is_refused_in_a_sentence(
    arguments: tuple[str, ...], standard_input: str | bytes, sentence: str
) -> None:
    result = run(*arguments, standard_input=standard_input)

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith(f"guideway: {sentence}")


def test_there_has_to_be_something_for_the_program_that_is_asked_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "k.conf"
    path.write_text("virtual_server 192.0.2.1 80 {\nprotocol TCP\n}")

    result = run("keepalived", str(path), "--interface", "eth0", "--for", "guideway-vrrpd")

    assert result.stderr == "guideway: there is nothing to import for guideway-vrrpd\n"


@pytest.mark.parametrize("site", ["fabric", "mail", "shop"])
def test_what_is_imported_is_applied_exported_and_the_same(
    tmp_path: Path, site: str
) -> None:
    path = SHOP.parent / site / "keepalived.conf"
    imported = run("keepalived", str(path), "--for", "guidewayd", "--config-id", "lb1")
    file, exported = tmp_path / "guideway.yaml", tmp_path / "services.yaml"
    file.write_text(imported.stdout)

    with command_line(tmp_path) as cli:
        cli.run(f"apply -f {file}")
        assert cli.node.store.state == config.parse(imported.stdout, "out")[1]
        assert cli.said(f"diff -f {file}") == "there is no difference\n"
        exported.write_text(cli.said("export"))
        assert "nothing changes: version 1" in cli.said(f"apply -f {exported}")


def test_what_is_imported_may_be_validated_at_once() -> None:
    imported = run("keepalived", str(SHOP / "keepalived.conf"), "--for", "guidewayd")

    done = CliRunner().invoke(guideway, ["validate", "-"], input=imported.stdout)

    assert done.stdout == "standard input is right; services: 2, backends: 4\n"


def test_a_keepalived_configuration_may_come_by_a_pipe(monkeypatch) -> None:
    monkeypatch.chdir(SHOP)  # from where a pipe includes
    text = (SHOP / "keepalived.conf").read_text()
    by_file = run("keepalived", "keepalived.conf")

    piped = run("keepalived", "-", standard_input=text)

    assert (piped.exit_code, piped.stdout) == (0, by_file.stdout)
    assert piped.stderr == by_file.stderr.replace("keepalived.conf:", "standard input:")
