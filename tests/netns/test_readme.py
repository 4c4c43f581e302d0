"""The README's first service, by its own words."""

import os
import re
import subprocess

from vagrant.lab.hosts import PROJECT

SECTION = re.compile(
    r"^## Your first service in five commands\n.*?^```sh\n(.*?)^```",
    re.DOTALL | re.MULTILINE,
)
# Labs are found by what is below /run: with one of our own, we meet no other that is called
# "lab", as ours has to be.
ALONE = "set -e; mount -t tmpfs tmpfs /run; trap 'make -s lab-down' EXIT\n"


def test_the_first_service_takes_five_commands_as_they_are_written() -> None:
    found = SECTION.search((PROJECT / "README.md").read_text())
    assert found
    commands = found[1]

    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", ALONE + commands],
        cwd=PROJECT,
        env={key: value for key, value in os.environ.items() if "MAKE" not in key},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(commands.splitlines()) == 5
    assert "service web is added at 10.0.0.100:80/tcp\n" in done.stdout
    shown, answer, *_, removed = done.stdout.splitlines()[-4:]
    assert shown.split()[:4] == ["10.0.0.22", "10.0.0.22:80", "2", "66.7%"]
    assert answer in ("b1", "b2")
    assert removed == "The lab 'lab' is gone."
