"""What a change would do to flows, before it is made."""

from dataclasses import replace
from ipaddress import IPv4Address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from control.disruption import Disruption, Share, disruption
from control.model import (
    Affinity,
    Backend,
    BackendState,
    Hash,
    Mode,
    Protocol,
    Service,
)
from control.pool_policy import PoolPolicy, SorryServer
from control.status import Standing
from control.tables import Tables
from control.transition import change, ordinary
from dataplane.abi import NO_BACKEND_ID, RECORDS_ONLY
from maglev import Overlay, Permutations

SIZE = 4093
SORRY = SorryServer(IPv4Address("10.0.0.250"), 80)


def backends(*weights: int) -> tuple[Backend, ...]:
    """Return backends called b0, b1 … of these weights."""
    return tuple(
        Backend(f"b{number}", IPv4Address("10.0.0.1") + number, 80, weight)
        for number, weight in enumerate(weights)
    )


WEB = Service(
    "web", IPv4Address("192.0.2.1"), Protocol.TCP, 80, Mode.DR, backends(1, 1, 1, 1)
)


def what_becomes(before: Service, after: Service, *down: int) -> Disruption:
    unable = frozenset(("web", before.backends[number].identity) for number in down)
    return disruption(before, after, Standing(unable), Tables())


def table(*weights: int, size: int = SIZE, down: tuple[int, ...] = ()) -> list[int]:
    identities = [one.identity.encode() for one in backends(*weights)]
    return Overlay(Permutations(identities, size), weights).move(down).table.tolist()


def changed(before: list[int], after: list[int]) -> int:
    return sum(old != new for old, new in zip(before, after, strict=True))


def test_what_leaves_the_ring_alone_moves_nothing() -> None:
    after = replace(WEB, checks=(), affinity=Affinity.ALWAYS, backends=WEB.backends[::-1])

    assert what_becomes(WEB, after) == Disruption(SIZE, SIZE, 0, 0.0, 0.0, ())


def test_a_weight_moves_slots_but_breaks_nothing() -> None:
    moved = changed(table(1, 1, 1, 1), table(3, 1, 1, 1))

    found = what_becomes(WEB, replace(WEB, backends=backends(3, 1, 1, 1)))

    assert (found.moved, found.flows) == (moved, pytest.approx(moved / SIZE))
    assert found.broken == 0
    assert found.shares[0] == Share("b0", 1, 3, table(1, 1, 1, 1).count(0), 2047)
    assert [one.backend for one in found.shares] == ["b0", "b1", "b2", "b3"]


def test_without_affinity_it_breaks_what_it_moves() -> None:
    after = replace(WEB, backends=backends(3, 1, 1, 1), affinity=Affinity.NONE)

    found = what_becomes(WEB, after)

    assert found.broken == found.flows > 0


def test_draining_breaks_nothing_and_removing_breaks_what_was_there() -> None:
    draining = replace(WEB.backends[0], state=BackendState.DRAINING)
    drained = what_becomes(WEB, replace(WEB, backends=(draining, *WEB.backends[1:])))
    removed = what_becomes(WEB, replace(WEB, backends=WEB.backends[1:]))

    part = table(1, 1, 1, 1).count(0) / SIZE
    assert drained.moved == removed.moved == changed(table(1, 1, 1, 1), table(0, 1, 1, 1))
    assert (drained.broken, removed.broken) == (0, pytest.approx(part))
    assert removed.shares[-1] == Share("b0", 1, 0, table(1, 1, 1, 1).count(0), 0)


def test_health_is_taken_as_it_is_now() -> None:
    after = replace(WEB, backends=backends(1, 1, 1, 1, 1))

    found = what_becomes(WEB, after, 0, 2)

    before_table = table(1, 1, 1, 1, down=(0, 2))
    assert found.moved == changed(before_table, table(1, 1, 1, 1, 1, down=(0, 2)))
    assert found.shares[-1].slots_before == 0
    assert found.shares[-1].slots_after > 0
    assert all(one.backend not in ("b0", "b2") for one in found.shares)


def test_removing_who_is_down_breaks_nothing() -> None:
    found = what_becomes(WEB, replace(WEB, backends=WEB.backends[1:]), 0)

    assert found.broken == 0


def test_a_weight_that_a_check_gives_counts() -> None:
    standing = Standing(weights={("web", "b0"): 9})
    after = replace(WEB, backends=backends(5, 1, 1, 1))

    assert disruption(WEB, after, standing, Tables()).moved == 0


def test_another_address_takes_all_flows_away() -> None:
    after = replace(WEB, vip=IPv4Address("192.0.2.2"))

    assert what_becomes(WEB, after) == Disruption(SIZE, SIZE, SIZE, 1.0, 1.0, ())


def test_another_mode_breaks_connections_where_they_are() -> None:
    after = replace(WEB, mode=Mode.NAT)

    assert what_becomes(WEB, after) == Disruption(SIZE, SIZE, 0, 0.0, 1.0, ())


def test_another_hash_moves_all_but_those_who_are_lucky() -> None:
    found = what_becomes(WEB, replace(WEB, hash=Hash.SOURCE))

    assert found.flows == found.broken == pytest.approx(0.75, abs=0.001)


def test_if_all_drain_nobody_gets_flows_and_nobody_loses_any() -> None:
    drained = tuple(replace(one, state=BackendState.DRAINING) for one in WEB.backends)
    found = what_becomes(WEB, replace(WEB, backends=drained))

    assert (found.slots_after, found.moved, found.flows) == (0, SIZE, 1.0)
    assert found.broken == 0


def test_if_all_go_every_flow_breaks() -> None:
    found = what_becomes(WEB, replace(WEB, backends=()))

    assert (found.slots_after, found.flows, found.broken) == (0, 1.0, 1.0)


def test_where_nobody_serves_there_is_nothing_to_lose() -> None:
    found = what_becomes(replace(WEB, backends=()), WEB)

    assert found == Disruption(0, SIZE, SIZE, 0.0, 0.0, found.shares)
    assert len(found.shares) == 4


@given(
    before=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    after=st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(any),
    sizes=st.tuples(st.sampled_from([11, 13, 31]), st.sampled_from([11, 13, 31])),
)
def test_rings_of_any_size_are_compared_hash_by_hash(before, after, sizes) -> None:
    old = replace(WEB, backends=backends(*before), ring_size=sizes[0])
    new = replace(WEB, backends=backends(*after), ring_size=sizes[1])

    found = what_becomes(old, new)

    # Every hash of a number that both sizes divide has its slot in both rings.
    total = sizes[0] * sizes[1]
    was = [table(*before, size=sizes[0])[h * sizes[0] // total] for h in range(total)]
    slots = [h * sizes[1] // total for h in range(total)]
    becomes = [table(*after, size=sizes[1])[slot] for slot in slots]
    differ = [h for h in range(total) if was[h] != becomes[h]]
    assert found.flows == pytest.approx(len(differ) / total)
    assert found.moved == len({slots[h] for h in differ})
    kept = kept_by_the_program(old, new, was, slots)
    assert found.broken == pytest.approx(1 - kept / total)


def kept_by_the_program(
    old: Service, new: Service, was: list[int], slots: list[int]
) -> int:
    """Return how many hashes' established flows keep their backend, by the rings' rules."""
    first = NO_BACKEND_ID + 1  # the id of b0

    def ring_ids(service: Service) -> NDArray[np.uint32]:
        weights = [one.weight for one in service.backends]
        owners = table(*weights, size=service.ring_size or 0)
        return np.array(owners, np.uint32) + np.uint32(first)

    keepers = {first + number for number in range(len(new.backends))}
    ring = change(ordinary(ring_ids(old)), ring_ids(new), keepers)
    words = np.frombuffer(ring.words, np.uint32).tolist()
    now, before = words[::2], words[1::2]
    unrecorded = [
        mine if theirs in (NO_BACKEND_ID, RECORDS_ONLY) else theirs
        for mine, theirs in zip(now, before, strict=True)
    ]
    return sum(
        unrecorded[slot] == first + owner for owner, slot in zip(was, slots, strict=True)
    )


def with_pool(*weights: int, **policy: object) -> Service:
    return replace(WEB, backends=backends(*weights), pool=PoolPolicy(**policy))


def identities(service: Service, *numbers: int) -> frozenset[tuple[str, str]]:
    return frozenset(("web", service.backends[number].identity) for number in numbers)


def test_a_quorum_that_would_not_be_there_hands_all_to_the_sorry_server() -> None:
    before = with_pool(1, 1, sorry_server=SORRY)
    after = replace(before, pool=replace(before.pool, quorum=3))

    foreseen = disruption(before, after, Standing(), Tables())

    assert (foreseen.moved, foreseen.flows, foreseen.broken) == (SIZE, 1.0, 0.0)
    assert Share("sorry", 0, 1, 0, SIZE) in foreseen.shares
    back = disruption(after, before, Standing(lost=frozenset({"web"})), Tables())
    assert (back.flows, back.broken) == (1.0, 0.0)


def test_a_sorry_server_that_is_not_needed_moves_nothing() -> None:
    before = with_pool(1, 1)
    after = with_pool(1, 1, sorry_server=SORRY)

    assert disruption(before, after, Standing(), Tables()).moved == 0


def test_who_is_kept_though_it_fails_is_foreseen_to_go_with_the_policy() -> None:
    before, after = with_pool(1, 1, max_ejected=0.4), with_pool(1, 1)
    standing = Standing(failing=identities(before, 0))

    foreseen = disruption(before, after, standing, Tables())

    assert 0.4 < foreseen.broken == foreseen.flows < 0.6
    assert {share.slots_after for share in foreseen.shares} == {0, SIZE}


def test_flows_of_who_fails_stay_if_that_is_wanted_and_else_they_break() -> None:
    for keeps, broken in ((True, 0.0), (False, 1 / 2)):
        before = with_pool(1, 1, max_ejected=0.0, keep_flows=keeps)
        after = replace(before, pool=replace(before.pool, max_ejected=1.0))
        standing = Standing(failing=identities(before, 0))

        foreseen = disruption(before, after, standing, Tables())

        assert foreseen.broken == pytest.approx(broken, abs=0.02)
