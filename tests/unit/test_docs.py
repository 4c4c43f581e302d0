"""What the documentation shows works as it is shown."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import vrrp.config
from control import config
from control.checks import CHECKS
from control.pool_policy import PoolPolicy

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted(
    [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("examples/*.md")]
)
GUIDEWAYD = (DOCS / "guidewayd.md").read_text()
EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in sorted(DOCS.glob("*.md"))
    for number, code in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    )
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_in_python_runs(code) -> None:
    exec(compile(code, "example", "exec"), {})


def test_there_are_examples() -> None:
    assert EXAMPLES


def test_every_check_that_is_shown_is_read() -> None:
    shown = [
        code
        for code in re.findall(r"```yaml\n(.*?)```", GUIDEWAYD, re.DOTALL)
        if code.startswith("check") and "services:" not in code
    ]

    assert len(shown) > 1
    for code in shown:
        service = {"name": "web", "vip": "192.0.2.1", "port": 80, "mode": "dr"}
        file = {"interfaces": ["eth0"], "services": [service | yaml.safe_load(code)]}
        _, state = config.parse(yaml.safe_dump(file), "docs")
        assert state.service("web").checks


def test_defaults_of_checks_that_are_shown_mean_what_is_said_of_them() -> None:
    (shown,) = (
        code
        for code in re.findall(r"```yaml\n(.*?)```", GUIDEWAYD, re.DOTALL)
        if code.startswith("check_defaults")
    )
    state, is_whole = config.parse_services(shown, "docs")
    (web,) = state

    asked = [
        [(check.path, check.interval, check.fall, check.rise) for check in checks]
        for checks in map(web.checks_of, web.backends)
    ]
    assert asked == [[("/health", 5, 2, 1)], [("/ready", 5, 2, 2)], []]
    assert not is_whole


def test_every_key_of_every_check_is_explained() -> None:
    section = GUIDEWAYD.partition("## Checks\n")[2].partition("\n## ")[0]
    unexplained = {
        f"{kind}.{field.name}"
        for kind, check in CHECKS.items()
        for field in fields(check)
        if f"`{field.name}`" not in section or f"| `{kind}` |" not in section
    }

    assert unexplained == set()


def anchors(page: Path) -> set[str]:
    """Return what can be linked to in a page, spelled as GitHub does."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_belongs_to_a_table_and_has_its_cells(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)

    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, line, *rows = table.splitlines()
        assert re.fullmatch(r"[|\-: ]+", line), head
        cells = len(re.findall(r"(?<!\\)\|", head))
        uneven = [row for row in rows if len(re.findall(r"(?<!\\)\|", row)) != cells]
        assert uneven == []


def test_the_files_of_two_nodes_are_accepted() -> None:
    page = (DOCS / "getting-started.md").read_text()
    balancer, router = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)

    _, state = config.parse(balancer, "guideway.yaml")
    assert [service.name for service in state] == ["web"]
    assert vrrp.config.parse(router, "vrrp.yaml").instances


def test_every_key_of_a_pool_is_explained_and_every_pool_that_is_shown_is_read() -> None:
    section = GUIDEWAYD.partition("## Pools\n")[2].partition("\n## ")[0]
    rows = {row.split("`")[1] for row in section.splitlines() if row.startswith("| `")}
    assert rows == {field.name for field in fields(PoolPolicy)}
    service = "{name: a, vip: 192.0.2.1, port: 80, mode: nat, %s}"
    shown = re.findall(r"pool: \{.*\}", section)
    for pool in shown:
        config.parse_services(f"services: [{service % pool}]", "docs")
    whole = re.findall(r"```yaml\n(services:.*?)```", section, re.DOTALL)
    for text in whole:
        config.parse_services(text, "docs")
    assert (len(shown), len(whole)) == (5, 1)


def test_in_docker_the_data_plane_is_ended_by_who_may_do_what_who_made_it_may() -> None:
    text = (PROJECT / "deploy" / "Dockerfile").read_text()
    text += (DOCS / "containers.md").read_text()
    runs = re.findall(r"docker run (?:.*\\\n)*.*", text)

    rights = {
        mark: re.findall(r"--(?:network|cap-\w+|security-opt) \S+|-v \S+", run)
        for run in runs
        for mark in ("--name guidewayd ", "--detach")
        if mark in run
    }

    made, ended = rights["--name guidewayd "], rights["--detach"]
    assert "-v /sys/fs/bpf:/sys/fs/bpf" in made
    assert sorted(made) == sorted(ended)
