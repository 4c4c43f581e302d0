"""What `make test-vm` puts into its machines, and what it makes of a failure there."""

from rich.console import Console

from tests.vm.image import this_recipe
from tests.vm.recipe import recipe
from tests.vm.stages import Line, Outcome, Stage, passed, run_all
from vagrant.lab.errors import LabError

SETUP = """
packages="python3-bpfcc gcc"
packages="$packages libc6-dev"  # to compile
case $extras in *dev*) packages="$packages keepalived" ;; esac
servers="nginx exim4"
"""
CONTROL = "Depends: python3 (>= 3.11), adduser\nRecommends: systemd\n"
PROJECT = """
build-system.requires = ["setuptools>=77"]
project.dependencies = ["cffi>=2"]
project.optional-dependencies.dev = ["pytest"]
"""


def tried(*stages: Stage) -> list[Line]:
    return run_all(stages, Console(quiet=True))


def succeed() -> str:
    return "well"


def fail() -> str:
    raise LabError("it is broken")


def test_a_machine_has_what_our_scripts_would_install_and_a_kernel() -> None:
    made = recipe(SETUP, CONTROL, PROJECT, constraints="")

    ours = {
        "python3-bpfcc",
        "gcc",
        "libc6-dev",
        "keepalived",
        "python3",
        "adduser",
        "systemd",
    }
    assert ours | {"linux-image-cloud-amd64"} <= set(made.packages)
    assert not [name for name in made.packages if not name.replace("-", "").isalnum()]
    assert made.archives == ("nginx", "exim4")
    assert made.wheels == ("cffi>=2", "pytest", "setuptools>=77")


def test_another_version_of_anything_is_another_root_file_system() -> None:
    made = recipe(SETUP, CONTROL, PROJECT, "cffi==2.0").key()

    assert made == recipe(SETUP, CONTROL, PROJECT, "cffi==2.0").key()
    assert made != recipe(SETUP, CONTROL, PROJECT, "cffi==2.1").key()
    assert made != recipe(SETUP.replace("gcc", "tcc"), CONTROL, PROJECT, "cffi==2.0").key()


def test_what_deploy_setup_makes_anew_is_not_made_in_a_machine() -> None:
    made = recipe(SETUP, CONTROL, PROJECT, "").key()

    assert (
        made != recipe(SETUP, CONTROL, PROJECT + "tool.ruff.line-length = 96\n", "").key()
    )
    assert made != recipe(SETUP + "say ready\n", CONTROL, PROJECT, "").key()


def test_what_is_in_this_checkout_is_understood() -> None:
    made = this_recipe()

    assert {"python3-bpfcc", "gcc", "keepalived", "adduser"} <= set(made.packages)
    assert "nginx" in made.archives
    assert "aiohttp==" in made.constraints


def test_what_stands_on_a_stage_that_fails_is_not_tried() -> None:
    lines = tried(Stage("one", succeed), Stage("two", fail), Stage("three", succeed))

    outcomes = [(line.outcome, line.remark) for line in lines]
    assert outcomes == [
        (Outcome.PASSED, "well"),
        (Outcome.FAILED, "it is broken"),
        (Outcome.NOT_TRIED, ""),
    ]
    assert not passed(lines)


def test_where_nothing_stands_on_it_the_rest_is_tried() -> None:
    lines = tried(Stage("one", fail, stands_alone=True), Stage("two", succeed))

    assert [line.outcome for line in lines] == [Outcome.FAILED, Outcome.PASSED]
    assert not passed(lines)


def test_only_what_was_tried_has_passed() -> None:
    assert passed(tried(Stage("one", succeed)))
    assert not passed([])
