"""``guidewayd``: its command line, and what is to be right before anything changes."""

import asyncio
import os
import resource
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final

import click
import structlog

from control import beacon, logs
from control.api.server import check as check_api
from control.applying import apply_file, is_applied
from control.capacity import check_capacity
from control.composition import Daemon
from control.config import NodeConfig, load
from control.desired import DesiredState
from control.errors import GuidewayError, HostError
from control.health.keeper import Keeper
from control.network import refuse_vlans
from control.notifying.users import check_users
from control.privileges import require_privileges
from control.runnable import refuse_unrunnable, warn_of_unrunnable
from control.signals import hear_signals, ignore_signals
from control.store import Store
from control.undoing import undo_overdue
from dataplane.attach import check_interfaces
from dataplane.errors import DataplaneError
from dataplane.image import Image
from dataplane.instance import Instance, open_instance, remove_instance
from dataplane.probe_path import ProbePath

_log: Final = structlog.get_logger()


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=Path("/etc/guideway/guideway.yaml"),
    show_default=True,
    help="The configuration file.",
)
@click.version_option(package_name="guideway", message="guidewayd %(version)s")
@click.option(
    "--check",
    is_flag=True,
    help="Check the file, and that this host has the programs that it names; then exit.",
)
@click.option(
    "--detach",
    is_flag=True,
    help="Take the instance's program, links and maps out of the kernel and exit.",
)
def main(path: Path, *, check: bool, detach: bool) -> None:
    """Balance by the services in the configuration file.

    SIGHUP reads the file again: its services replace those that are balanced; a file with
    a mistake changes nothing. SIGTERM ends the daemon; packets keep flowing by the tables
    as they are.
    """
    if check and detach:
        raise click.UsageError("--check and --detach do not go together")
    logs.set_up()
    _raise_descriptor_limit()
    try:
        os.umask(0o077)  # what we create is for us alone
        config, desired = load(path, _refuse_unrunnable) if check else load(path)
        check_capacity(desired, config.limits)
        if check:
            click.echo(f"{path} is right; services: {len(desired.services)}")
        elif detach:
            require_privileges()
            _detach(config)
        else:
            require_privileges()
            asyncio.run(_serve(path, config, desired))
    except (GuidewayError, DataplaneError) as error:
        click.echo(f"guidewayd: {error}", err=True)
        sys.exit(1)
    except Exception:  # noqa: BLE001 - the one place for it
        # Unexpected: end, so that the supervisor starts us afresh; packets flow on.
        _log.exception("a bug ended guidewayd")
        sys.exit(70)  # EX_SOFTWARE


async def _serve(path: Path, config: NodeConfig, desired: DesiredState) -> None:
    """Run the daemon until SIGTERM; what cannot work is found before anything changes."""
    signals = hear_signals()
    check_interfaces(config.interfaces)
    if config.native:
        await asyncio.to_thread(refuse_vlans, config.interfaces)
    check_api(config.socket, config.access)
    check_users(config.notifications)
    opened = await asyncio.to_thread(
        open_instance, config.pins, config.limits, config.cache
    )
    with closing(opened) as instance:
        if instance.replaces:
            _log.info("another program will be replaced", of=instance.replaces)
        try:
            instance.claim(config.interfaces, native=config.native)
            with closing(_open_store(config)) as store:
                seed = instance.seed()
                if not undo_overdue(store) or not is_applied(store, desired):
                    _refuse_emptiness(store, desired, instance, seed)
                apply_file(store, desired, path)
                health = await asyncio.to_thread(
                    Keeper.open, config.state_directory / "health.db"
                )
                with closing(health) as keeper:
                    told = config.notifications
                    await asyncio.to_thread(warn_of_unrunnable, told, store.state)
                    await Daemon(path, config, store, keeper, instance, seed).run(signals)
        finally:
            instance.discard()
            ignore_signals()  # it ends: who is impatient has to wait for that


def _open_store(config: NodeConfig) -> Store:
    accept = partial(check_capacity, limits=config.limits)
    return Store.open(config.state_directory / "desired.db", accept)


def _refuse_unrunnable(config: NodeConfig, desired: DesiredState) -> None:
    refuse_unrunnable(config.notifications, desired)


def _refuse_emptiness(
    store: Store, desired: DesiredState, instance: Instance, seed: Image | None
) -> None:
    """Refuse to drop all traffic: an empty file is a mistake more often than a wish."""
    state = store.state if is_applied(store, desired) else desired
    if state.services:
        return
    if instance.maps.read().services or (seed and seed.services):
        raise HostError(
            "the configuration has no service, and packets are being balanced by the "
            "tables of an earlier start: add the services, or take the data plane away "
            "by `guidewayd --detach`"
        )


def _raise_descriptor_limit() -> None:
    """Allow as many sockets as we may: each probe under way has one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _detach(config: NodeConfig) -> None:
    found = remove_instance(config.pins)
    found = ProbePath(config.instance).remove() or found
    beacon.beside(config.socket).unlink(missing_ok=True)
    what = "detached" if found else "there was nothing to detach of"
    click.echo(f"{what} instance {config.instance}")


if __name__ == "__main__":
    main()
