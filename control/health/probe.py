"""What is probed, and how."""

from dataclasses import dataclass, field, replace

from control.addresses import IpAddress
from control.checks import AnyCheck
from control.desired import DesiredState
from control.facts import BackendKey
from control.health.vips import is_via_vip
from control.model import Backend, Service


@dataclass(frozen=True, slots=True)
class Probe:
    """What is probed, and how: another definition is another probe, and starts afresh.

    Whoever asks for the same gets the same probe, which is made once.
    """

    address: IpAddress
    port: int  # 0: the check needs none
    check: AnyCheck  # without a port: it may be written out, or be the backend's
    vip: IpAddress | None = None  # that it is reached by; None: by its own address
    # Of what is hashed quickly, and once: there are thousands, and few differ in the rest.
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((int(self.address), self.port)))

    def __hash__(self) -> int:
        return self._hash


def probes_of(desired: DesiredState) -> dict[BackendKey, tuple[int, list[Probe]]]:
    """Return the weight and the probes of each backend that has any."""
    return {
        (service.name, backend.name): (
            backend.weight,
            _probes(service, backend, checks),
        )
        for service in desired
        for backend in service.backends
        if (checks := service.checks_of(backend))
    }


def _probes(
    service: Service, backend: Backend, checks: tuple[AnyCheck, ...]
) -> list[Probe]:
    """Return the probes of a backend that has ``checks``, each once."""
    probes = [
        Probe(
            backend.address,
            _port(backend, check),
            check if check.port is None else replace(check, port=None),
            service.vip if is_via_vip(check) else None,
        )
        for check in checks
    ]
    return probes if len(probes) == 1 else list(dict.fromkeys(probes))


def _port(backend: Backend, check: AnyCheck) -> int:
    return (check.port or backend.port) if check.uses_port else 0
