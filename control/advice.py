"""What an operator should mend, a sentence each. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from control.facts import Network

_NAMED: Final = 4  # services
NO_SEED: Final = (
    "hash_seed is 0, which everybody knows: clients can choose ports that lead to one "
    "backend; add a secret one to the file, the same on all nodes, before there are "
    'connections, for it moves them: `echo "hash_seed: 0x$(openssl rand -hex 4)"`'
)


def waiting_warnings(waiting: Collection[str]) -> tuple[str, ...]:
    """Say that the services called ``waiting`` are not all that they are to be, as yet."""
    if not waiting:
        return ()
    names = ", ".join(sorted(waiting)[:_NAMED])
    more = f" and {len(waiting) - _NAMED} more" if len(waiting) > _NAMED else ""
    return (
        (
            f"the maps have no room for new beside old: {names}{more} wait for what goes, "
            "step by step; with larger `limits` a change is one step"
        ),
    )


def down_warnings(services: Mapping[str, str]) -> tuple[str, ...]:
    """Say which services are down, by what :func:`control.unserved.unserved` returns."""
    down = [(name, why) for name, why in sorted(services.items()) if why]
    more = len(down) - _NAMED
    return (
        *(f"service {name} is down: {why}" for name, why in down[:_NAMED]),
        *((f"{more} more services are down",) if more > 0 else ()),
    )


def merge_warnings(network: Network) -> tuple[str, ...]:
    """Say where a card merges packets before a program in generic mode sees them.

    The kernel turns that off when the program is attached; anybody may turn it on again.
    """
    return tuple(
        f"{one.name} runs in generic mode and merges packets: what is then longer than the "
        f"MTU is lost: `ethtool -K {one.name} {' '.join(f'{each} off' for each in merges)}`"
        for one in network.interfaces
        if one.xdp == "generic" and (merges := sorted(one.merges))
    )
