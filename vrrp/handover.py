"""What operators ask for: to see how it stands, to hand over, to be out of service."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec

from vrrp.errors import HostError
from vrrp.machine import State
from vrrp.maintenance import Maintenance
from vrrp.requests import Answer, AnyRequest, Failover, Maintain, ShowStatus
from vrrp.runner import Runner


class Handover:
    """Answers operators; a request that changes something waits for the one before."""

    def __init__(
        self,
        runners: Callable[[], Mapping[str, Runner]],
        maintenance: Maintenance,
        judge: Callable[[], None],
    ) -> None:
        """``runners`` returns them by name, as they are; ``judge`` has them look again."""
        self._runners = runners
        self._maintenance = maintenance
        self._judge = judge
        self._one_at_a_time = asyncio.Lock()

    async def handle(self, request: AnyRequest) -> Answer:
        """Do it, and say how it went."""
        match request:
            case ShowStatus():
                status = {
                    name: msgspec.to_builtins(each.status, enc_hook=str)
                    for name, each in self._runners().items()
                }
                return Answer(instances=status, maintenance=self._maintenance.on)
            case Failover(instance):
                async with self._one_at_a_time:
                    return await self._fail_over(instance)
            case Maintain(on, force):
                async with self._one_at_a_time:
                    return await self._maintain(on=on, force=force)

    async def _fail_over(self, name: str) -> Answer:
        runners = self._runners()
        if name not in runners:
            known = ", ".join(sorted(runners)) or "none"
            return Answer(problem=f"there is no instance {name!r} here; there are: {known}")
        one = runners[name]
        group = one.instance.group
        members = [r for r in runners.values() if group and r.instance.group == group]
        if one.router.state is not State.ACTIVE:
            return Answer(problem=_not_active(one))
        return _answer(await _hand_over(members or [one]))

    async def _maintain(self, *, on: bool, force: bool) -> Answer:
        answer = Answer()
        if on and not self._maintenance.on:
            answer = _answer(await _hand_over(self._runners().values()))
            if answer.problem and not force:
                return answer
        try:
            self._maintenance.switch(on=on)
        except HostError as error:
            return Answer(problem=str(error), moved=answer.moved)
        self._judge()
        return Answer(moved=answer.moved, maintenance=on)


async def _hand_over(runners: Iterable[Runner]) -> dict[str, bool]:
    """Have peers take over what is Active; return of each whether one has."""
    active = [each for each in runners if each.router.state is State.ACTIVE]
    went = await asyncio.gather(*(each.hand_over() for each in active))
    return {each.name: gone for each, gone in zip(active, went, strict=True)}


def _answer(went: Mapping[str, bool]) -> Answer:
    moved = tuple(name for name, gone in went.items() if gone)
    stayed = ", ".join(name for name, gone in went.items() if not gone)
    problem = ""
    if stayed:
        problem = f"no peer took over {stayed}, which stays here: does another node run it?"
    return Answer(problem=problem, moved=moved)


def _not_active(one: Runner) -> str:
    status = one.status
    if status.active:
        where = f"{status.active} is Active: ask that node"
    else:
        where = status.problem or "nobody is known to be Active"
    return f"{one.name} is not Active on this node; {where}"
