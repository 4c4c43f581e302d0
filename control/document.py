"""A desired state as an operator writes it: the ``services`` of a configuration file.

What :func:`dump` returns means the same to ``control/config.py`` again. Defaults are left
out.
"""

from dataclasses import fields
from typing import Any, Final

import msgspec
import yaml

from control.check_common import BUILT_IN, CheckDefaults
from control.check_schema import from_check, from_defaults
from control.checks import CHECKS, AnyCheck, TcpCheck
from control.desired import DesiredState
from control.drains import deadline_text
from control.model import Affinity, Backend, BackendState, Hash, Protocol, Returns, Service
from control.pool_policy import EACH_BY_ITSELF, PoolPolicy

_WIDTH: Final = 100  # columns


class _Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(yaml.CSafeDumper):
    """Writes out what is there twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    _Flow,
    lambda dumper, data: dumper.represent_mapping(
        "tag:yaml.org,2002:map", data, flow_style=True
    ),
)


def dump(state: DesiredState) -> str:
    """Return ``state`` as YAML."""
    return yaml.dump(
        state_document(state),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=_WIDTH,
    )


def state_document(state: DesiredState) -> dict[str, Any]:
    """Return ``state`` as plain values."""
    return {"services": [service_document(service) for service in state]}


def service_document(service: Service) -> dict[str, Any]:
    """Return a service as plain values."""
    written: dict[str, Any] = {
        "name": service.name,
        "vip": str(service.vip),
        "port": service.port,
    }
    if service.protocol is not Protocol.TCP:
        written["protocol"] = service.protocol.value
    written["mode"] = service.mode.value
    defaults = service.check_defaults
    if defaults != BUILT_IN:
        written["check_defaults"] = defaults_document(defaults)
    if service.checks != (TcpCheck(**defaults.values()),):
        written |= _checks_document(service.checks, defaults)
    if service.ring_size is not None:
        written["ring_size"] = service.ring_size
    if service.affinity is not Affinity.TRANSITION:
        written["affinity"] = service.affinity.value
    if service.hash is not Hash.FLOW:
        written["hash"] = service.hash.value
    if service.returns is not Returns.STATELESS:
        written["returns"] = service.returns.value
    if pool := pool_document(service.pool, service.port):
        written["pool"] = _Flow(pool)
    written["backends"] = [backend_document(one, service) for one in service.backends]
    return written


def backend_document(backend: Backend, service: Service) -> dict[str, Any]:
    """Return a backend of ``service`` as plain values."""
    written = _Flow()
    if backend.name != str(backend.address):
        written["name"] = backend.name
    written["address"] = str(backend.address)
    if backend.port != service.port:
        written["port"] = backend.port
    if backend.weight != 1:
        written["weight"] = backend.weight
    if backend.state is not BackendState.ACTIVE:
        written["state"] = backend.state.value
    if backend.zone:
        written["zone"] = backend.zone
    if deadline := deadline_text(backend):
        written["drain_deadline"] = deadline
    if backend.checks is not None:
        written |= _checks_document(backend.checks, service.check_defaults)
    return written


def pool_document(policy: PoolPolicy, port: int) -> dict[str, Any]:
    """Return the policy of a service that has ``port`` as plain values; empty: none."""
    ordinary = EACH_BY_ITSELF
    written: dict[str, Any] = {}
    if policy.quorum != ordinary.quorum:
        written["quorum"] = policy.quorum
    if policy.hysteresis != ordinary.hysteresis:
        written["hysteresis"] = policy.hysteresis
    if sorry := policy.sorry_server:
        own = sorry.port != port
        written["sorry_server"] = str(sorry) if own else str(sorry.address)
    if policy.when_all_down is not ordinary.when_all_down:
        written["when_all_down"] = policy.when_all_down.value
    if policy.keep_flows:
        written["keep_flows"] = True
    if policy.max_ejected != ordinary.max_ejected:
        written["max_ejected"] = _plain(policy.max_ejected)
    if policy.slow_start:
        written["slow_start"] = _plain(policy.slow_start)
    if policy.watch_handshakes:
        written["watch_handshakes"] = True
    return written


def defaults_document(defaults: CheckDefaults) -> dict[str, Any]:
    """Return the defaults of a service's checks as plain values; empty: built in."""
    written = msgspec.to_builtins(from_defaults(defaults))
    ordinary = BUILT_IN.values()
    values = defaults.values()
    return _Flow(
        (name, _plain(value))
        for name, value in written.items()
        if values[name] != ordinary[name]
    )


def check_document(check: AnyCheck, defaults: CheckDefaults = BUILT_IN) -> dict[str, Any]:
    """Return a check, of a service that has ``defaults``, as plain values."""
    written = msgspec.to_builtins(from_check(check))
    ordinary = {field.name: field.default for field in fields(CHECKS[check.kind])}
    ordinary |= defaults.values()
    return _Flow(
        (name, _plain(value))
        for name, value in written.items()
        if name == "type" or getattr(check, name) != ordinary[name]
    )


def _checks_document(
    checks: tuple[AnyCheck, ...], defaults: CheckDefaults
) -> dict[str, Any]:
    if not checks:
        return {"check": "none"}
    if len(checks) == 1:
        return {"check": check_document(checks[0], defaults)}
    return {"checks": [check_document(check, defaults) for check in checks]}


def _plain(value: Any) -> Any:
    """Return seconds without a point where there is nothing behind it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
