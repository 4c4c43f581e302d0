"""The services of the file, and the store."""

import hashlib
from pathlib import Path

from control.desired import DesiredState
from control.encoding import encode
from control.store import Store


def apply_file(store: Store, desired: DesiredState, path: Path) -> None:
    """Make ``desired``, of the file at ``path``, the state; see Store.apply_file."""
    store.apply_file(desired, _digest(desired), path)


def is_applied(store: Store, desired: DesiredState) -> bool:
    """Tell whether :func:`apply_file` would change nothing."""
    return store.has_applied(_digest(desired))


def _digest(desired: DesiredState) -> str:
    return hashlib.blake2b(encode(desired), digest_size=16).hexdigest()
