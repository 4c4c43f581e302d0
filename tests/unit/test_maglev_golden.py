"""Tables that must stay as they are for ever.

Balancer nodes of one cluster compute their tables on their own, and a client's packets may
come to any of them. Should a release fail here, then nodes before and after it disagree:
while a cluster is upgraded node by node, every failover, and every packet that a router
sends to another node, breaks the connections whose slots differ, as good as all of them.
So a change of these tables is a change of the protocol between nodes. It needs a setting
that keeps the old tables until the last node is upgraded; it is not a matter of recording
the file again.
"""

import json
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import pytest

from maglev import build, overlay

GOLDEN = json.loads((Path(__file__).parent / "golden_tables.json").read_text())


def runs(table) -> str:
    """Return a table as run lengths: "2*7" is owner 2 in seven slots, "2" in one."""
    lengths = ((owner, len(list(slots))) for owner, slots in groupby(table.tolist()))
    return " ".join(f"{owner}*{n}" if n > 1 else f"{owner}" for owner, n in lengths)


def made(golden):
    pool = [(identity.encode(), weight) for identity, weight in golden["backends"]]
    size, seed = golden["size"], golden["seed"]
    if not golden["down"]:
        return build(pool, size, seed)
    return overlay(pool, size, golden["down"], seed=seed, zones=golden["zones"])


@pytest.mark.parametrize("golden", GOLDEN["small"], ids=lambda golden: golden["name"])
def test_a_table_is_the_same_for_ever(golden) -> None:
    assert runs(made(golden)) == golden["runs"]


@pytest.mark.parametrize("golden", GOLDEN["large"], ids=lambda golden: golden["name"])
def test_so_is_one_of_a_size_that_is_in_use(golden) -> None:
    count, heaviest = golden["count"], golden["heaviest"]
    pool = [
        [f"10.0.{number >> 8}.{number & 255}:80", 1 + number % heaviest]
        for number in range(count)
    ]

    table = made({**golden, "backends": pool})

    assert sha256(runs(table).encode()).hexdigest() == golden["sha256"]
