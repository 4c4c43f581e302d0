"""What we give to users to copy is right."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from control.config import load as load_guideway
from control.config import parse
from tests.support.command_line import ADD_WEB, command_line
from vrrp.config import load as load_vrrp

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/guideway.yaml")), ids=str)
def test_an_example_for_guidewayd_is_accepted(path: Path) -> None:
    _, desired = load_guideway(path)

    assert desired.services


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/vrrp.yaml")), ids=str)
def test_an_example_for_vrrpd_is_accepted(path: Path) -> None:
    assert load_vrrp(path).instances


def client(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "client" / "drain.py"), *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_the_client_in_python_drains_a_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with command_line(tmp_path) as cli:
        cli.said(ADD_WEB)
        done = client("web", "a", str(cli.socket))
        monkeypatch.setenv("GUIDEWAY_SOCKET", str(cli.socket))
        refused = client("web", "c")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "web: 192.0.2.10 port 80",
        "  a: 25%",
        "  b: 75%",
        "a is draining, by version 2 of the configuration",
        "  begin",
        "a gets no new flows of web",
        "web: 192.0.2.10 port 80",
        "  a: 0%",
        "  b: 100%",
    ]
    assert refused.returncode == 1
    assert refused.stderr == "drain.py: NOT_FOUND: no backend 'c' in service 'web'\n"


def test_the_client_in_python_says_how_it_is_used() -> None:
    asked = client()

    assert asked.returncode == 1
    assert "drain.py SERVICE BACKEND [SOCKET]" in asked.stderr


def test_the_file_in_the_readme_is_accepted() -> None:
    text = (ROOT / "README.md").read_text()
    files = re.findall(r"```yaml\n(interfaces:.*?)```", text, re.DOTALL)

    assert [len(parse(file, "README.md")[1].services) for file in files] == [1]


@pytest.mark.parametrize("page", sorted(ROOT.glob("**/*.md")), ids=str)
def test_a_link_in_the_documentation_leads_somewhere(page: Path) -> None:
    if ".venv" in page.parts:
        return
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []
