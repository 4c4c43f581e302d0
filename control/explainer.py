"""Asks the data plane what it would do with a packet, one question at a time."""

import asyncio
from collections.abc import Callable
from typing import Final

from control.config import NodeConfig
from control.errors import ConfigError, HostError
from control.explanation import Explanation, Question
from control.facts import Interface, Network
from control.interpret import interpret
from control.reconciler import Reconciler
from dataplane.decision import Outcome
from dataplane.errors import DataplaneError, DetachedError
from dataplane.explainer import Probe
from dataplane.frames import ACK, SYN, Headers
from dataplane.instance import Instance
from dataplane.records import Segment

_AT_MOST: Final = 4  # questions under way; each takes 2 s of a CPU, and 170 MB
_SOURCE_MAC: Final = bytes.fromhex("020000000000")  # of the router; nobody looks at it
_TTL: Final = 64  # RFC 1700's default


class Explainer:
    """Answers questions about packets by dry runs of the program that serves."""

    def __init__(
        self,
        config: NodeConfig,
        instance: Instance,
        network: Callable[[], Network],
        reconciler: Reconciler,
    ) -> None:
        """Ask ``instance``; ``network`` and ``reconciler`` know what its numbers mean."""
        self._config = config
        self._instance = instance
        self._network = network
        self._reconciler = reconciler
        self._turn = asyncio.Lock()
        self._asked = 0

    async def explain(self, question: Question) -> Explanation:
        """Return what would become of a packet. Raises ConfigError or HostError."""
        if self._asked >= _AT_MOST:
            raise HostError(
                f"{_AT_MOST} questions of this kind are under way: ask again in a moment"
            )
        network = self._network()
        interface = _interface(question, network)
        received = headers(question, interface, network)
        flags = ACK if question.is_established else SYN
        probe = Probe(received.frame(flags), interface.ifindex)
        self._asked += 1
        try:
            outcome = await self._ask(interface.name, probe)
        finally:
            self._asked -= 1
        compiled = self._reconciler.compiled
        return interpret(question, interface.name, received, outcome, network, compiled)

    async def _ask(self, interface: str, probe: Probe) -> Outcome:
        async with self._turn:
            work = asyncio.ensure_future(asyncio.to_thread(self._run, interface, probe))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait([work])  # a thread cannot be stopped; its turn lasts
                raise

    def _run(self, interface: str, probe: Probe) -> Outcome:
        """Ask the program; in a thread, for it takes its time."""
        try:
            if not self._instance.detached and self._instance.unattached([interface]):
                raise HostError(
                    f"packets of interface {interface} do not come through the program: "
                    "see `guideway status`"
                )
            (outcome,) = self._instance.explain(self._config.limits, [probe])
        except DetachedError as error:
            raise HostError(str(error)) from error
        except DataplaneError as error:
            raise HostError(f"the program cannot be asked: {error}") from error
        return outcome


def headers(question: Question, interface: Interface, network: Network) -> Headers:
    """Return the headers of a packet as the question says, addressed to this node."""
    segment = Segment(interface.ifindex, question.tags)
    vlans = (vlan.mac for vlan in network.vlans.values() if vlan.segment == segment)
    return Headers(
        source_mac=_SOURCE_MAC,
        destination_mac=next(vlans, interface.mac),
        tags=question.tags,
        source=question.source,
        destination=question.destination,
        ttl=_TTL,
        protocol=question.protocol.number,
        source_port=question.source_port,
        destination_port=question.destination_port,
    )


def _interface(question: Question, network: Network) -> Interface:
    """Return the interface that the question means; raise ConfigError or HostError."""
    names = ", ".join(one.name for one in network.interfaces)
    if not network.interfaces:
        raise HostError("none of `interfaces` is there: see `guideway status`")
    if not question.interface:
        return network.interfaces[0]
    for one in network.interfaces:
        if one.name == question.interface:
            return one
    raise ConfigError(
        "interface",
        f"packets are not balanced on {question.interface!r}, but on {names}; of a VLAN, "
        "give the interface that it is on, and its tag",
    )
