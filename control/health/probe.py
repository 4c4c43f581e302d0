"""What is probed, and how."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from control.addresses import IpAddress
from control.checks import AnyCheck
from control.facts import BackendKey
from control.health.vips import is_via_vip
from control.model import Backend, DesiredState, Service


@dataclass(frozen=True, slots=True)
class Probe:
    """What is probed, and how: another definition is another probe, and starts afresh.

    Whoever asks for the same gets the same probe, which is made once.
    """

    address: IpAddress
    port: int  # 0: the check needs none
    check: AnyCheck  # without a port: it may be written out, or be the backend's
    vip: IpAddress | None = None  # that it is reached by; None: by its own address

    def __hash__(self) -> int:
        """Hash what is hashed quickly: few probes have all of it in common."""
        return hash((int(self.address), self.port))


def probes_of(desired: DesiredState) -> dict[BackendKey, tuple[int, list[Probe]]]:
    """Return the weight and the probes of each backend that has any."""
    return {
        (service.name, backend.name): (
            backend.weight,
            list(dict.fromkeys(_probes(service, backend))),
        )
        for service in desired
        for backend in service.backends
        if service.checks_of(backend)
    }


def _probes(service: Service, backend: Backend) -> Iterator[Probe]:
    for check in service.checks_of(backend):
        asked = check if check.port is None else replace(check, port=None)
        vip = service.vip if is_via_vip(check) else None
        yield Probe(backend.address, _port(backend, check), asked, vip)


def _port(backend: Backend, check: AnyCheck) -> int:
    return (check.port or backend.port) if check.uses_port else 0
