"""What a round of the reconciler goes by. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from control.addresses import IpAddress, IpNetwork
from control.desired import DesiredState
from control.facts import BackendKey, Facts, Moment, NextHop
from control.ids import Ids
from control.model import Service
from control.tables import Tables
from dataplane.image import Image
from dataplane.source import Limits


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration fixes for all services."""

    limits: Limits
    hash_seed: int
    direct: tuple[IpNetwork, ...]


def weighted(service: Service, weights: Mapping[BackendKey, int]) -> Service:
    """Return a service with the weights that its checks have given."""
    given = [weights.get((service.name, b.name), b.weight) for b in service.backends]
    if given == [backend.weight for backend in service.backends]:
        return service
    backends = zip(service.backends, given, strict=True)
    return replace(service, backends=tuple(replace(b, weight=w) for b, w in backends))


@dataclass(frozen=True, slots=True)
class Round:
    """What is wanted and known at one time."""

    configured: DesiredState
    desired: DesiredState  # with sorry servers, and the weights that checks have given
    facts: Facts
    settings: Settings
    known: Image
    ids: Ids
    serving: frozenset[int]  # ids of backends that get packets
    hops: Mapping[IpAddress, NextHop]  # that packets can be sent to, by backend
    tables: Tables
    moment: Moment
