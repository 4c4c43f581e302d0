"""Between the API's messages and the policy of a service's pool."""

from dataclasses import replace
from typing import Any, Final

from control.api.fields import meant, wrong
from control.api.v1 import guideway_pb2 as pb
from control.pool_policy import PoolPolicy, SorryServer, WhenAllDown

_WHEN_ALL_DOWN: Final = {
    pb.WHEN_ALL_DOWN_SORRY: WhenAllDown.SORRY,
    pb.WHEN_ALL_DOWN_NONE: WhenAllDown.NONE,
    pb.WHEN_ALL_DOWN_ALL: WhenAllDown.ALL,
    pb.WHEN_ALL_DOWN_LAST_KNOWN: WhenAllDown.LAST_KNOWN,
}
_WHEN_ALL_DOWN_TO_PB: Final = {value: number for number, value in _WHEN_ALL_DOWN.items()}
# Fields that are called alike, and are alike, in both.
_ALIKE: Final = (
    "quorum",
    "hysteresis",
    "keep_flows",
    "max_ejected",
    "slow_start",
    "watch_handshakes",
)


def pool_from_pb(
    wanted: pb.PoolPolicy, known: PoolPolicy, port: int, at: str
) -> PoolPolicy:
    """Return ``known`` with what is given changed; raise ConfigError.

    ``port`` is the service's, ``at`` the place of the message in its request.
    """
    given: dict[str, Any] = {
        name: getattr(wanted, name) for name in _ALIKE if wanted.HasField(name)
    }
    if wanted.HasField("sorry_server"):
        given["sorry_server"] = _sorry(wanted.sorry_server, port, at)
    field = f"{at}.when_all_down"
    if who := meant(wanted.when_all_down, _WHEN_ALL_DOWN, field):
        given["when_all_down"] = who
    return replace(known, **given)


def pool_to_pb(policy: PoolPolicy) -> pb.PoolPolicy:
    """Return a policy, nothing left out."""
    sorry = policy.sorry_server
    return pb.PoolPolicy(
        quorum=policy.quorum,
        hysteresis=policy.hysteresis,
        sorry_server=str(sorry) if sorry else "",
        when_all_down=_WHEN_ALL_DOWN_TO_PB[policy.when_all_down],
        keep_flows=policy.keep_flows,
        max_ejected=policy.max_ejected,
        slow_start=policy.slow_start,
        watch_handshakes=policy.watch_handshakes,
    )


def _sorry(text: str, port: int, at: str) -> SorryServer | None:
    if not text:
        return None
    try:
        return SorryServer.parse(text, port)
    except ValueError as error:
        raise wrong(f"{at}.sorry_server", str(error)) from error
