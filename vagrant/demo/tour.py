"""The tour through one lab: its phases, in order, each ending in claims."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Final

from vagrant.demo import claims
from vagrant.demo.board import Board
from vagrant.demo.download import Download
from vagrant.demo.load import TIMEOUT, Load
from vagrant.demo.request import Request
from vagrant.demo.witness import Witness
from vagrant.lab.lab import Lab
from vagrant.lab.topology import VIP
from vagrant.lab.wait import PATIENCE

PHASES: Final = (
    "1000 requests through the VIP",
    "a backend dies under load, and comes back",
    "the Active node dies under load",
    "a download through all of it ends",
)
_SPREAD, _BACKEND, _NODE, _DOWNLOAD = range(len(PHASES))
_SERVICE: Final = "web"
_REQUESTS: Final = 1000
_AT_ONCE: Final = 20
_RATE: Final = 100.0 / PATIENCE  # requests per second
_CALM: Final = 2.5  # seconds of plain load before and after what happens
_AT_LAST: Final = 10.0 * PATIENCE  # seconds, then what should happen does not


class Tour:
    """One run through all phases."""

    def __init__(self, lab: Lab, board: Board) -> None:
        self._lab = lab
        self._board = board
        self._load = Load(lab.client, f"http://{VIP}/", board.request_ended)
        self._download = Download(
            lab.client, f"http://{VIP}/{lab.large_file.name}", lab.large_file.stat().st_size
        )

    async def run(self) -> None:
        """Go through all phases; the board has the claims then."""
        with Witness(self._lab.topology.backends) as witness:
            await self._spread()
            self._board.download = self._download
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                download = tasks.create_task(self._download.run())
                await self._download.begun.wait()
                load = tasks.create_task(self._load.steadily(_RATE, stop))
                judged = await self._kill_backend(witness)
                await self._kill_node(judged)
                stop.set()
                self._board.begin(_DOWNLOAD)
                self._download.hurry()
                await asyncio.wait((load, download))
            self._end_download()

    async def _spread(self) -> None:
        self._board.begin(_SPREAD)
        await self._load.many(_REQUESTS, _AT_ONCE)
        requests = tuple(self._load.requests)
        self._board.finish(
            _SPREAD,
            claims.all_answered(requests),
            claims.shares_follow_weights(requests, self._board.weights),
        )

    async def _kill_backend(self, witness: Witness) -> float:
        """Kill a backend, bring it back, and return up to when requests were judged."""
        self._board.begin(_BACKEND)
        begin = time.monotonic()
        victim = self._victim()
        await asyncio.sleep(_CALM)

        killed = time.monotonic()
        await asyncio.to_thread(self._lab.kill_servers, victim)
        out = await self._moment_when_out(victim)
        await asyncio.sleep(_CALM)

        restarted = time.monotonic()
        meanwhile = await self._load.settled(begin, restarted)
        await asyncio.to_thread(self._lab.start_servers, victim)
        await asyncio.to_thread(self._lab.wait_for_servers, victim)
        listening = time.monotonic()
        answer = await self._first(
            lambda each: each.started >= listening and each.backend == victim
        )
        await asyncio.sleep(_CALM)
        end = time.monotonic()
        afterwards = await self._load.settled(restarted, end)

        self._board.finish(
            _BACKEND,
            claims.only_the_dead_backend_fails(
                meanwhile,
                victim,
                lambda request: witness.backend_of(request.port),
                killed=killed,
                out=out,
            ),
            claims.out_soon(victim, None if out is None else out - killed),
            claims.back_soon(
                victim, None if answer is None else answer.ended - listening, afterwards
            ),
        )
        return end

    async def _kill_node(self, begin: float) -> None:
        self._board.begin(_NODE)
        await asyncio.sleep(_CALM)

        off = time.monotonic()
        await asyncio.to_thread(self._lab.nodes["lb1"].power_off)
        answer = await self._first(
            lambda request: request.started >= off and request.answered
        )
        # Requests that were lost have to run into their time-outs before we count.
        await asyncio.sleep(TIMEOUT + _CALM)

        requests = await self._load.settled(begin, time.monotonic())
        answered = None if answer is None else answer.ended
        self._board.finish(
            _NODE,
            claims.taken_over_soon(requests, off=off, answered=answered),
            claims.none_fails_afterwards(requests, answered),
        )

    def _end_download(self) -> None:
        wanted = hashlib.sha256(self._lab.large_file.read_bytes()).hexdigest()
        claim = claims.download_is_whole(
            self._download.received,
            self._download.size,
            digest=self._download.sha256,
            wanted=wanted,
            error=self._download.error,
        )
        self._board.finish(_DOWNLOAD, claim)

    def _victim(self) -> str:
        """Return the busiest backend that does not serve the download."""
        others = [name for name in self._board.weights if name != self._download.backend]
        return max(others, key=self._board.weights.__getitem__)

    async def _moment_when_out(self, backend: str) -> float | None:
        """Return when the Active node had taken ``backend`` out; None if it did not."""
        api = self._lab.nodes["lb1"].api
        deadline = time.monotonic() + _AT_LAST
        while time.monotonic() < deadline:
            shares = await asyncio.to_thread(api.shares, _SERVICE)
            if shares[backend] == 0:
                return time.monotonic()
            await asyncio.sleep(0.01)
        return None

    async def _first(self, wanted: Callable[[Request], bool]) -> Request | None:
        """Return the first request to end that is ``wanted``; None if there is none."""
        seen = len(self._load.requests)
        deadline = time.monotonic() + _AT_LAST
        while time.monotonic() < deadline:
            for request in self._load.requests[seen:]:
                seen += 1
                if wanted(request):
                    return request
            await asyncio.sleep(0.01)
        return None
