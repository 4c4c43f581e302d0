"""Which services nobody serves, as the tables have it. Pure."""

from collections.abc import Iterable

from control.serving import UNPROBED, Served


def unserved(services: Iterable[Served]) -> dict[str, str]:
    """Return of each service why nobody serves it, "" where somebody does.

    Services of which that is not known yet, or that have no backends at all, are left out.
    """
    found: dict[str, str] = {}
    for one in services:
        problems = [one.problems.get(b.name, "") for b in one.service.backends]
        if any(one.slots.values()):
            found[one.service.name] = ""
        elif problems and UNPROBED not in problems:
            reasons = ", ".join(dict.fromkeys(filter(None, problems)))
            count = len(problems)
            all_of = "its backend cannot" if count == 1 else f"none of {count} backends can"
            found[one.service.name] = f"{all_of} serve: {reasons}"
    return found
