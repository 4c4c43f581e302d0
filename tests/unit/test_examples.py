"""What we give to users to copy is right."""

import re
from pathlib import Path

import pytest

from control.config import load as load_guideway
from control.config import parse
from vrrp.config import load as load_vrrp

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/guideway.yaml")), ids=str)
def test_an_example_for_guidewayd_is_accepted(path: Path) -> None:
    _, desired = load_guideway(path)

    assert desired.services


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/vrrp.yaml")), ids=str)
def test_an_example_for_vrrpd_is_accepted(path: Path) -> None:
    assert load_vrrp(path).instances


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
