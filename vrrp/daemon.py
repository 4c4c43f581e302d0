"""``guideway-vrrpd``: where everything is put together. Nobody imports this."""

import asyncio
import logging
import os
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TextIO, cast

import click
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from vrrp.config import parse, read, shape
from vrrp.errors import VrrpError
from vrrp.host import check_host, check_users, own_capabilities
from vrrp.instance import DaemonConfig
from vrrp.lacks import lacks, warn
from vrrp.maintenance import Maintenance
from vrrp.realtime import be_on_time
from vrrp.status import StatusFile
from vrrp.supervisor import Supervisor

_log: Final[FilteringBoundLogger] = structlog.get_logger()

# A thread that parses netlink messages gives way to an advertisement after this time.
# Python's own default, 5 ms, is half an interval of the fastest kind.
_SWITCH_INTERVAL: Final = 0.0005  # seconds


@click.command("guideway-vrrpd")
@click.option(
    "--config",
    "path",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The instances to run, in YAML; SIGHUP reads it again.",
)
@click.version_option(package_name="guideway", message="guideway-vrrpd %(version)s")
@click.option("--check", is_flag=True, help="Check the file on this host and exit.")
def main(path: Path, *, check: bool) -> None:
    """Hold virtual addresses together with other balancers (VRRP version 3, RFC 9568)."""
    _configure_logging()
    try:
        if check:
            _check(path)
        else:
            _run(path)
    except VrrpError as error:
        _fail(str(error))
    except Exception:  # noqa: BLE001  (a bug ends the process, and says so)
        _log.critical("unexpected error", exc_info=True)
        _fail("an unexpected error, which the log describes, has ended it", os.EX_SOFTWARE)


def _check(path: Path) -> None:
    """Say what is wrong with a file, and what of it this host has not; exit 1, if fatal."""
    text = read(path)
    config = parse(text, str(path))
    found = tuple(lacks(shape(text, str(path))))
    for each in found:
        kind = "" if each.fatal else "warning: "
        click.echo(f"guideway-vrrpd: {kind}{each.within(text, str(path))}", err=True)
    if any(each.fatal for each in found):
        sys.exit(1)
    warned = f"; warnings: {len(found)}" if found else ""
    click.echo(f"{path} is right; instances: {len(config.instances)}{warned}")


def _run(path: Path) -> None:
    text = read(path)
    config = parse(text, str(path))
    check_host()
    check_users(config)
    warn(text, str(path))
    sys.setswitchinterval(_SWITCH_INTERVAL)
    be_on_time(config.realtime_priority, own_capabilities())
    with (
        StatusFile(config.status_file) as status,
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="kernel") as kernel,
    ):
        try:
            asyncio.run(_serve(path, config, kernel, status))
        finally:
            status.remove()


async def _serve(
    path: Path, config: DaemonConfig, kernel: Executor, status: StatusFile
) -> None:
    async with asyncio.TaskGroup() as tasks:
        maintenance = Maintenance(config.maintenance_file)
        await Supervisor(path, tasks, kernel, status, maintenance).run(config)


def _configure_logging() -> None:
    renderer: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if sys.stderr.isatty()
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
    )


@dataclass(frozen=True, slots=True, weakref_slot=True)  # structlog refers to it so
class _Unfailing:
    """Drops what cannot be written: a full disk is no reason to let the addresses go."""

    stream: TextIO

    def write(self, text: str) -> None:
        """Write ``text`` at once, if that is possible."""
        with suppress(OSError):
            self.stream.write(text)
            self.stream.flush()

    def flush(self) -> None:
        """Do nothing: every line is flushed."""


def _fail(sentence: str, code: int = 1) -> NoReturn:
    click.echo(f"guideway-vrrpd: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
