"""Programs that the operator names: whether this host has them, and who may run them."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from structlog.testing import capture_logs

from control.config import parse
from control.daemon import main as guidewayd
from control.runnable import warn_of_unrunnable
from programs import executable
from programs.executable import defect
from tests.support.users import AS_ROOT

FILE = """\
interfaces: [eth0]
services:
- name: web
  vip: 192.0.2.10
  port: 80
  mode: dr
  check:
    type: exec
    command: [{own}, "{{address}}"]
  backends:
  - address: 10.0.0.1
  - address: 10.0.0.2
    check:
      type: exec
      command: [{other}]
  - address: 10.0.0.3
    checks:
    - type: tcp
    - type: exec
      command: ["/opt/{{address}}"]
notify:
- command: [{told}]
  user: {user}
"""
THERE = {"own": "/bin/true", "other": "/bin/true", "told": "/bin/true", "user": "nobody"}
SECOND = "services[0] (web), backends[1] (10.0.0.2), check"


def script(directory: Path, mode: int) -> str:
    path = directory / "script"
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


def check(directory: Path, **said: str) -> Result:
    """Let guidewayd check a file that names these programs."""
    file = directory / "guideway.yaml"
    file.write_text(FILE.format(**THERE | said))
    with capture_logs():
        return CliRunner().invoke(guidewayd, ["--config", str(file), "--check"])


def test_a_file_of_programs_that_are_there_is_right(tmp_path: Path) -> None:
    result = check(tmp_path)

    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"own": "/no/such"},
            "9: services[0] (web), check, command: /no/such: No such file or",
        ),
        (
            {"other": "/bin"},
            f"15: {SECOND}, command: /bin is no program: it is a directory",
        ),
        (
            {"other": "/etc/passwd"},
            f"15: {SECOND}, command: /etc/passwd is not executable; `chmod +x",
        ),
        ({"told": "/no/such"}, "22: notify[0], command: /no/such: No such file or"),
        (
            {"user": "nobody-here"},
            "23: notify[0], user: this host has no user 'nobody-here'; `useradd",
        ),
    ],
)
def test_what_is_not_there_is_named_with_its_line(
    tmp_path: Path, said: dict[str, str], sentence: str
) -> None:
    result = check(tmp_path, **said)

    assert result.stderr.startswith(f"guidewayd: {tmp_path}/guideway.yaml:{sentence}")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)


def test_a_start_warns_of_all_that_is_not_there() -> None:
    said = {"own": "/no/such", "other": "/no/other", "told": "/no/third"}
    node, desired = parse(FILE.format(**THERE | said), "c.yaml")

    with capture_logs() as lines:
        warn_of_unrunnable(node.notifications, desired)

    assert {(one["event"], one["log_level"]) for one in lines} == {
        ("program cannot be run", "warning")
    }
    assert [(one["of"], one["problem"]) for one in lines] == [
        ("notify[0]", "/no/third: No such file or directory"),
        ("service 'web', check (exec)", "/no/such: No such file or directory"),
        ("service 'web', check (exec)", "/no/other: No such file or directory"),
    ]


@AS_ROOT
def test_it_counts_who_is_to_run_it(open_path: Path) -> None:
    closed = script(open_path, 0o700)

    assert (defect(closed), defect(closed, "root")) == ("", "")
    assert defect(script(open_path, 0o755), "nobody") == ""
    closed = script(open_path, 0o700)
    assert defect(closed, "nobody") == (
        f"user 'nobody' may not run {closed}: look at its mode, and its directories'"
    )


def test_who_sees_less_than_root_says_nothing_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = script(tmp_path, 0o700)
    monkeypatch.setattr(executable, "_is_root", lambda: False)

    assert defect(closed, "nobody") == ""
    assert defect(script(tmp_path, 0o600)).endswith("makes it so")
