"""Which services are down: nobody serves them, or too few. Pure."""

from collections.abc import Callable, Iterable

from control.compile import Compiled
from control.serving import UNPROBED, Served


def unserved(services: Iterable[Served]) -> dict[str, str]:
    """Return of each service why it is down, "" where it is up: it has its quorum.

    Services of which that is not known yet, or that have no backends at all, are left out.
    """
    found: dict[str, str] = {}
    for one in services:
        problems = [one.problems.get(b.name, "") for b in one.service.backends]
        if not one.pool.quorum:
            found[one.service.name] = _too_few(one)
        elif any(one.slots.values()):
            found[one.service.name] = ""
        elif problems and UNPROBED not in problems:
            reasons = ", ".join(dict.fromkeys(filter(None, problems)))
            count = len(problems)
            all_of = "its backend cannot" if count == 1 else f"none of {count} backends can"
            found[one.service.name] = f"{all_of} serve: {reasons}"
    return found


class Judge:
    """Says :func:`unserved` of what was compiled last, which is found out once."""

    def __init__(self, compiled: Callable[[], Compiled | None]) -> None:
        self._compiled = compiled
        self._judged: tuple[Compiled | None, dict[str, str]] = (None, {})

    def look(self) -> dict[str, str]:
        """Return the same mapping for as long as the same is compiled."""
        compiled = self._compiled()
        if compiled is not self._judged[0]:
            self._judged = (compiled, unserved(compiled.services) if compiled else {})
        return self._judged[1]


def _too_few(one: Served) -> str:
    weight = f"weight {one.pool.live_weight} of {one.service.pool.quorum} is up"
    return f"no quorum: {weight}{'; the sorry server serves' if one.pool.sorry else ''}"
