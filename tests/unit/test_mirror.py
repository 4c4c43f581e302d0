"""Memory that others could write, too."""

from array import array

import pytest

from dataplane.mirror import Mirror


@pytest.fixture(params=["B", "Q"])
def shared(request) -> memoryview:
    return memoryview(array(request.param, range(8)))


def test_what_is_written_through_it_is_in_the_memory_and_is_known(shared) -> None:
    mirror = Mirror(shared)

    mirror[3] = 200
    mirror[5:7] = mirror[0:2]

    assert list(shared) == [0, 1, 2, 200, 4, 0, 1, 7]
    assert mirror.is_intact


def test_what_somebody_else_writes_is_seen_until_it_is_accepted(shared) -> None:
    mirror = Mirror(shared)

    shared[3] = 200

    assert mirror[3] == 200
    assert not mirror.is_intact
    mirror.accept()
    assert mirror.is_intact
