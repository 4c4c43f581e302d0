"""Whether the maps have room for a desired state. Pure."""

from control.desired import DesiredState
from control.errors import HostError
from control.serving import ring_size
from dataplane.source import Limits


def check_capacity(desired: DesiredState, limits: Limits) -> None:
    """Raise HostError if the maps are too small for ``desired``."""
    backends = sum(len(service.members) for service in desired)
    sizes = [ring_size(service) for service in desired]
    # Changed rings are written beside the old ones, and all may change at once: a host that
    # serves everybody dies. A number is not reused in its round.
    for name, need, have in (
        ("services", len(sizes) + 1, limits.services),
        ("backends", backends + 2, limits.backends),
        ("slots", 2 * sum(sizes), limits.slots),
    ):
        if need > have:
            raise HostError(
                f"this needs {need} {name} in the maps, and `limits.{name}` is {have}: "
                "raise it in the configuration and restart guidewayd"
            )
