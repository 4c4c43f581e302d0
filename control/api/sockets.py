"""The API's unix socket: who may open it, and what may be in its way."""

import grp
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from control.access import Access
from control.api.address import MAX_PATH_BYTES, target
from control.api.entrance import Members
from control.errors import ConfigError, HostError

_BACKLOG: Final = 128
_INNER: Final = ".grpc"  # what the name of gRPC's own socket ends in


def check_socket(path: Path) -> None:
    """Raise ConfigError or HostError if the API cannot be served at ``path``.

    Touches nothing.
    """
    target(path)
    length = len(str(inner_path(path).absolute()).encode())
    if length > MAX_PATH_BYTES:
        longest = MAX_PATH_BYTES - len(_INNER)
        raise ConfigError(
            "socket",
            f"{path} has {length - len(_INNER)} bytes, and the path of the API's socket "
            f"can have {longest}: choose a shorter one",
        )
    _check_way(path)
    _check_way(inner_path(path))


def check_group(path: Path, group: str) -> None:
    """Raise ConfigError or HostError if the socket at ``path`` could not be ``group``'s.

    Touches nothing: what it tries that with has no name.
    """
    nameless = os.memfd_create("guideway")
    try:
        os.fchown(nameless, -1, _gid("api.group", group))
    except OSError as error:
        raise _not_given(path, group, error) from error
    finally:
        os.close(nameless)


def inner_path(path: Path) -> Path:
    """Return where gRPC listens behind the socket at ``path``."""
    return path.with_name(path.name + _INNER)


def members(access: Access) -> Members:
    """Return who may change something by the socket; ConfigError: no such group."""
    if access.group is not None:
        _gid("api.group", access.group)
    if access.change_group is None:
        return Members()
    return Members(_gid("api.change_group", access.change_group))


@contextmanager
def listening(path: Path, group: str | None) -> Iterator[socket.socket]:
    """Listen at ``path`` while the body runs, for root or for the members of ``group``.

    Nobody else could open the socket at any time. Raises HostError.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            path.unlink(missing_ok=True)  # a dead daemon's; see check_socket
            with owner_only():
                listener.bind(str(path))
        except OSError as error:
            problem = f"{path}: the API's socket cannot be made there: {error.strerror}"
            raise HostError(problem) from error
        try:
            if group is not None:
                _open_to(path, group)
            listener.listen(_BACKLOG)
            yield listener
        finally:
            path.unlink(missing_ok=True)


def make_directory(path: Path, group: str | None) -> None:
    """Make the socket's directory, if there is none, for those who may open the socket."""
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        return
    except OSError as error:
        raise HostError(f"{path} cannot be made: {error.strerror}") from error
    if group is not None:
        _give(path, group, 0o750)


@contextmanager
def owner_only() -> Iterator[None]:
    """Let what is created meanwhile have mode 0600 at most; for the whole process."""
    before = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(before)


def _open_to(path: Path, group: str) -> None:
    _give(path, group, 0o660)


def _give(path: Path, group: str, mode: int) -> None:
    gid = _gid("api.group", group)
    try:
        os.chown(path, -1, gid)
        path.chmod(mode)
    except OSError as error:
        raise _not_given(path, group, error) from error


def _not_given(path: Path, group: str, error: OSError) -> HostError:
    return HostError(
        f"{path} cannot be given to the group {group!r} (`api.group`): "
        f"{error.strerror}. Let guidewayd be in that group (in its systemd unit: "
        f"SupplementaryGroups={group}; in a container: --group-add), or have CAP_CHOWN"
    )


def _gid(where: str, group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        problem = f"this host has no group {group!r}; `groupadd --system {group}` makes it"
        raise ConfigError(where, problem) from error


def _check_way(path: Path) -> None:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
        in_use = is_socket and _is_in_use(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(f"{path}: {error.strerror}") from error
    if not is_socket:
        raise HostError(f"{path} exists and is not a socket: move it away")
    if in_use:
        raise HostError(
            f"{path} is in use by another guidewayd: stop that one, or give this one a "
            "socket of its own (`api.socket`)"
        )


def _is_in_use(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # its backlog is full: very much alive
            return True
    return True
