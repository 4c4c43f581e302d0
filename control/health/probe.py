"""What is probed, and how."""

from dataclasses import dataclass

from control.addresses import IpAddress
from control.checks import AnyCheck
from control.facts import BackendKey
from control.health.vips import is_via_vip
from control.model import Backend, DesiredState


@dataclass(frozen=True, slots=True)
class Probe:
    """What is probed, and how: another definition is another probe, and starts afresh.

    Whoever asks for the same gets the same probe, which is made once.
    """

    address: IpAddress
    port: int  # 0: the check needs none
    check: AnyCheck
    vip: IpAddress | None = None  # that it is reached by; None: by its own address


def probes_of(desired: DesiredState) -> dict[BackendKey, tuple[int, list[Probe]]]:
    """Return the weight and the probes of each backend that has any."""
    return {
        (service.name, backend.name): (
            backend.weight,
            [
                Probe(
                    backend.address,
                    _port(backend, check),
                    check,
                    service.vip if is_via_vip(check) else None,
                )
                for check in service.checks
            ],
        )
        for service in desired
        if service.checks
        for backend in service.backends
    }


def _port(backend: Backend, check: AnyCheck) -> int:
    return (check.port or backend.port) if check.uses_port else 0
