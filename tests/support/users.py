"""Programs that other users run."""

_MAY_READ = "dac_read_search"  # what the checkout holds, even if its owner alone may see it


def become(uid: int, gid: int, *groups: int) -> tuple[str, ...]:
    """Return what to put before a command of Python's for a user to run it (root only).

    Whoever may search no directory of the checkout could not import it. Reading is all that
    the user may do besides: a socket asks for the right to write.
    """
    given = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    rights = (f"--{kind}-caps=-all,+{_MAY_READ}" for kind in ("inh", "ambient"))
    return ("setpriv", f"--reuid={uid}", f"--regid={gid}", given, *rights)
