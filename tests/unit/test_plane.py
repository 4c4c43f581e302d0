"""What is done with the data plane of a running daemon; the kernel's part is made up."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from control.config import NodeConfig
from control.errors import ConflictError, HostError
from control.plane import Plane
from dataplane.errors import AttachError, LoadError
from dataplane.source import Limits

CONFIG = NodeConfig(
    interfaces=("eth0",),
    instance="default",
    native=True,
    bpffs=Path("/sys/fs/bpf"),
    state_directory=Path("/var/lib/guideway"),
    cache=None,
    hash_seed=0,
    direct=(),
    socket=Path("/run/guideway/guidewayd.sock"),
    limits=Limits(),
)


@dataclass
class MadeUpInstance:
    """An Instance without a kernel: notes what is asked of it."""

    done: list[str] = field(default_factory=list)
    refuse: dict[str, Exception] = field(default_factory=dict)
    torn: bool = False
    detached: bool = False
    adopted: bool = True
    digest: str = "0123456789abcdef"
    maps: str = "maps"

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what in self.refuse:
            raise self.refuse[what]

    def renew(self, limits) -> None:
        self._do("renew")
        self.maps = "new maps"
        self.detached = False

    def claim(self, interfaces, *, native) -> None:
        self._do("claim")

    def seed(self) -> str:
        return "seed"

    def attach(self, interfaces, *, native) -> None:
        self._do("attach")
        self.torn = False

    def revert(self) -> None:
        self._do("revert")
        self.maps = "maps"

    def detach(self) -> None:
        self._do("detach")
        self.detached = True

    def unattached(self, interfaces) -> list[str]:
        return list(interfaces) if self.torn else []


@dataclass
class MadeUpReconciler:
    """Notes the maps that it is given."""

    at: list = field(default_factory=list)
    gate: asyncio.Event | None = None  # a round waits for it
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def move(self, maps, seed=None) -> None:
        self.at.append((maps, seed))

    async def settle(self) -> None:
        self.entered.set()
        if self.gate:
            await self.gate.wait()

    def forget(self) -> None:
        self.at.append("forgotten")

    def wake(self) -> None:
        pass


def plane(instance: MadeUpInstance, reconciler: MadeUpReconciler | None = None) -> Plane:
    return Plane(
        CONFIG,
        instance,
        reconciler or MadeUpReconciler(),
        lambda: ["eth0"],
        lambda names: dict.fromkeys(names, "none" if instance.detached else "native"),
    )


def test_a_reload_fills_new_maps_before_it_swaps() -> None:
    instance, reconciler = MadeUpInstance(), MadeUpReconciler()

    digest = asyncio.run(plane(instance, reconciler).reload())

    assert digest == instance.digest
    assert instance.done == ["renew", "claim", "attach"]
    assert reconciler.at == [(None, None), ("new maps", "seed")]


@pytest.mark.parametrize("step", ["claim", "attach"])
def test_a_reload_that_an_interface_refuses_is_undone(step) -> None:
    instance, reconciler = MadeUpInstance(), MadeUpReconciler()
    instance.refuse[step] = AttachError("eth0", "is gone")

    with pytest.raises(HostError, match="not reloaded: interface eth0: is gone"):
        asyncio.run(plane(instance, reconciler).reload())

    assert instance.done[-1] == "revert"
    assert reconciler.at[-1] == ("maps", None)


def test_a_program_that_cannot_be_loaded_leaves_the_old_one_alone() -> None:
    instance, reconciler = MadeUpInstance(), MadeUpReconciler()
    instance.refuse["renew"] = LoadError("BCC is missing")

    with pytest.raises(HostError, match="not reloaded: BCC is missing"):
        asyncio.run(plane(instance, reconciler).reload())

    assert (instance.done, reconciler.at) == (["renew"], [])


def test_what_was_detached_is_not_attached_again_by_itself() -> None:
    instance = MadeUpInstance()
    one = plane(instance)

    async def scenario() -> None:
        await one.detach()
        instance.torn = True
        await one.mend()

    asyncio.run(scenario())

    assert instance.done == ["detach"]


def test_who_looks_on_sees_an_operation_when_it_is_over() -> None:
    seen = []

    async def scenario() -> None:
        reconciler = MadeUpReconciler(gate=asyncio.Event())
        one = plane(MadeUpInstance(), reconciler)
        await one.detach()
        seen.append((one.detached, one.reloads))
        reloading = asyncio.ensure_future(one.reload())
        await reconciler.entered.wait()  # the instance has new maps by now
        seen.append((one.detached, one.reloads))
        reconciler.gate.set()
        await reloading
        seen.append((one.detached, one.reloads))

    asyncio.run(scenario())

    assert seen == [(True, 0), (True, 0), (False, 1)]


def test_what_is_detached_cannot_be_detached_again() -> None:
    one = plane(MadeUpInstance(detached=True))

    with pytest.raises(ConflictError, match="detached already"):
        asyncio.run(one.detach())


def test_a_torn_attachment_is_mended_and_a_failure_told() -> None:
    instance = MadeUpInstance(torn=True)
    one = plane(instance)
    instance.refuse["attach"] = AttachError("eth0", "carries another XDP program")

    asyncio.run(one.mend())
    assert one.problem == "interface eth0: carries another XDP program"

    del instance.refuse["attach"]
    asyncio.run(one.mend())
    assert (one.problem, instance.torn) == ("", False)


def test_a_client_that_goes_away_does_not_stop_a_reload() -> None:
    instance = MadeUpInstance()

    async def scenario() -> None:
        reconciler = MadeUpReconciler(gate=asyncio.Event())
        one = plane(instance, reconciler)
        asked = asyncio.ensure_future(one.reload())
        await reconciler.entered.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        reconciler.gate.set()
        await one.finish()

    asyncio.run(scenario())

    assert instance.done == ["renew", "claim", "attach"]


def test_how_xdp_runs_is_known_when_an_operation_ends() -> None:
    async def operate() -> list[str]:
        operated = plane(MadeUpInstance())
        seen = []
        for operation in (operated.attach, operated.detach, operated.reload):
            await operation()
            seen.append(operated.modes["eth0"])
        return seen

    assert asyncio.run(operate()) == ["native", "none", "native"]
