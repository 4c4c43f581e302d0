"""How guideway-vrrpd refuses to start."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from vrrp.daemon import main
from vrrp.host import effective_capabilities, kernel_version


def test_a_mistake_in_the_file_is_one_sentence_and_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "vrrp.yaml"
    path.write_text("instances: 1", encoding="utf-8")

    result = CliRunner().invoke(main, ["--config", str(path)])

    assert result.exit_code == 1
    assert result.output == (
        f"guideway-vrrpd: {path}: Expected `array`, got `int` - at `$.instances`\n"
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
