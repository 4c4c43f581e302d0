"""``guideway import``: other load balancers' configurations, as guideway's."""

import platform
import sys
from typing import TYPE_CHECKING, Final

import click

from control.cli.client import Failure
from control.cli.known_names import own_interfaces

if TYPE_CHECKING:
    from control.importing.files import Files
    from control.importing.plain import Imported

_HEADINGS: Final = {
    "guidewayd": "guideway.yaml, for guidewayd",
    "guideway-vrrpd": "vrrp.yaml, for guideway-vrrpd",
}

interface_option: Final = click.option(
    "--interface",
    "interfaces",
    multiple=True,
    metavar="NAME",
    shell_complete=own_interfaces,
    help="Where guidewayd is to see packets; may be repeated.",
)
strict_option: Final = click.option(
    "--strict", is_flag=True, help="Fail if there is a note, and print no configuration."
)


@click.group("import")
def import_() -> None:
    """Turn a configuration of keepalived or IPVS into guideway's.

    The configuration goes to the standard output. Of each line that has no equivalent, or
    means something else here, there is a note on stderr. Nothing is changed, and no daemon
    is needed.
    """


@import_.command(
    epilog="Example: guideway import keepalived /etc/keepalived/keepalived.conf "
    "--for guidewayd > guideway.yaml"
)
@click.argument("file", type=click.Path(allow_dash=True))
@interface_option
@click.option(
    "--for",
    "program",
    type=click.Choice(list(_HEADINGS)),
    help="Print the file of this program only.",
)
@click.option(
    "--config-id",
    "identity",
    metavar="ID",
    help="Which lines that begin with @ID count, as of keepalived's option of that name; "
    "by default this host's name.",
)
@strict_option
def keepalived(
    file: str,
    interfaces: tuple[str, ...],
    program: str | None,
    identity: str | None,
    *,
    strict: bool,
) -> None:
    """Turn the keepalived.conf FILE into files for guidewayd and guideway-vrrpd.

    - is the standard input; what it includes is looked for from here.
    """
    from control.importing.files import Files  # noqa: PLC0415 - slow to import
    from control.importing.keepalived import import_keepalived  # noqa: PLC0415
    from control.importing.notes import RefusedError  # noqa: PLC0415

    files = Files()
    try:
        name, text = _read(files, file)
        imported = import_keepalived(
            name,
            text,
            files.include,
            identity=identity or platform.node().partition(".")[0],
            interfaces=interfaces,
        )
    except RefusedError as error:
        raise Failure(str(error)) from error
    _show(imported, program, strict=strict)


@import_.command(
    epilog="Example: ipvsadm-save -n | guideway import ipvsadm - --interface eth0"
)
@click.argument("file", type=click.Path(allow_dash=True))
@interface_option
@strict_option
def ipvsadm(file: str, interfaces: tuple[str, ...], *, strict: bool) -> None:
    """Turn FILE, or - for the standard input, with what `ipvsadm-save -n` prints."""
    from control.importing.files import Files  # noqa: PLC0415 - slow to import
    from control.importing.ipvsadm import import_ipvsadm  # noqa: PLC0415
    from control.importing.notes import RefusedError  # noqa: PLC0415

    files = Files()
    try:
        name, text = _read(files, file)
        imported = import_ipvsadm(name, text, interfaces)
    except RefusedError as error:
        raise Failure(str(error)) from error
    _show(imported, None, strict=strict)


def _read(files: "Files", file: str) -> tuple[str, str]:
    """Return what is to be imported, with its name; raise RefusedError."""
    from control.importing.files import MAX_BYTES  # noqa: PLC0415 - slow to import

    if file != "-":
        return file, files.text(file)
    name = "standard input"
    return name, files.decoded(name, sys.stdin.buffer.read(MAX_BYTES + 1))


def _show(imported: "Imported", program: str | None, *, strict: bool) -> None:
    """Print notes and files; raise Failure if there is no file, or a note that counts."""
    from control.importing.accepted import accepted  # noqa: PLC0415 - slow to import

    for note in imported.notes:
        click.echo(str(note), err=True)
    if strict and imported.notes:
        count = len(imported.notes)
        raise Failure(f"{count} line{'s' * (count != 1)} cannot be imported as they are")
    files = {"guidewayd": imported.guidewayd, "guideway-vrrpd": imported.vrrpd}
    chosen = {
        name: file
        for name, file in files.items()
        if file is not None and program in (None, name)
    }
    if not chosen:
        raise Failure(f"there is nothing to import for {program}")
    try:
        texts = [accepted(name, file, _HEADINGS[name]) for name, file in chosen.items()]
    except ValueError as error:
        raise Failure(f"what comes out is not accepted: {error}") from error
    click.echo("---\n".join(texts), nl=False)
