"""A place for benchmarks that need the kernel: namespaces and a bpffs, until the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vagrant.lab import cleanup, hosts, requirements
from vagrant.lab.errors import HostError
from vagrant.lab.hosts import Host
from vagrant.lab.signals import uninterrupted, unwind_on_signals

_NAME: Final = "bench"  # one at a time: two would measure each other


@contextmanager
def place(*names: str) -> Iterator[tuple[Path, tuple[Host, ...]]]:
    """Yield a bpffs and hosts of these names; remove them whatever happens.

    What a killed benchmark left behind is removed first. Raises LabError, a HostError of
    these if this machine lacks something.
    """
    problem = requirements.missing()
    if problem is not None:
        raise HostError(problem)
    unwind_on_signals()
    with cleanup.exclusive(_NAME):
        cleanup.remove(_NAME)
        try:
            cleanup.make_directory(_NAME)
            with hosts.hosts(*names, prefix=cleanup.prefix(_NAME)) as made:
                yield cleanup.bpffs(_NAME), made
        finally:
            with uninterrupted():
                cleanup.remove(_NAME)
