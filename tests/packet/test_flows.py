"""Recorded flows in bulk, out of the kernel's map and into it."""

import numpy as np
import pytest

from dataplane.abi import sizeof
from dataplane.flows import FLOW, RECORD, REPLY_FLOW, SPEAKER
from dataplane.instance import Instance

SECOND = 1_000_000_000


pytestmark = pytest.mark.usefixtures("records")


def flows(*ports: int, service_id: int = 4) -> np.ndarray:
    made = np.zeros(len(ports), FLOW)
    made["service_id"] = service_id
    made["client_port"] = [port.to_bytes(2, "big") for port in ports]
    return made


def records(*seen_ns: int, backend: int = 7) -> np.ndarray:
    made = np.zeros(len(seen_ns), RECORD)
    made["seen_ns"], made["backend_id"], made["owner"] = seen_ns, backend, 99
    return made


def recorded(instance: Instance, *services: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Return backend and time by service and client's port."""
    keys, values = instance.flows(services)
    return {
        (int(key["service_id"]), int.from_bytes(key["client_port"].tobytes(), "big")): (
            int(value["backend_id"]),
            int(value["seen_ns"]),
        )
        for key, value in zip(keys, values, strict=True)
    }


def test_columns_are_those_of_the_c_structs() -> None:
    assert FLOW.itemsize == sizeof("gw_flow")
    assert RECORD.itemsize == sizeof("gw_record")
    assert REPLY_FLOW.itemsize == sizeof("gw_reply_flow")
    assert SPEAKER.itemsize == sizeof("gw_speaker")


def test_flows_of_the_wanted_services_come_back_as_they_were(instance: Instance) -> None:
    instance.record(flows(1, 2), records(SECOND, 2 * SECOND), None)
    instance.record(flows(1, service_id=5), records(SECOND), None)

    assert recorded(instance, 4) == {(4, 1): (7, SECOND), (4, 2): (7, 2 * SECOND)}
    assert len(recorded(instance, 4, 5)) == 3
    assert recorded(instance, 6) == recorded(instance) == {}


def test_what_leads_replaces_and_what_does_not_only_where_it_is_newer(
    instance: Instance,
) -> None:
    instance.record(flows(1, 2), records(10 * SECOND, 10 * SECOND), None)

    instance.record(flows(1), records(5 * SECOND, backend=8), None)
    newer = records(11 * SECOND, 13 * SECOND, SECOND, backend=9)
    instance.record(flows(2, 1, 3), newer, 2 * SECOND)

    assert recorded(instance, 4) == {
        (4, 1): (9, 13 * SECOND),
        (4, 2): (7, 10 * SECOND),  # newer by less than the margin
        (4, 3): (9, SECOND),
    }


def test_more_than_a_batch_is_read_and_written(instance: Instance) -> None:
    ports = range(1, 20_001)

    instance.record(flows(*ports), records(*ports), None)

    assert len(recorded(instance, 4)) == 20_000


@pytest.mark.usefixtures("replies")
def test_whose_replies_are_whose_comes_back_and_newer_ones_win(instance: Instance) -> None:
    flows, speakers = np.zeros(2, REPLY_FLOW), np.zeros(2, SPEAKER)
    flows["client_port"], flows["protocol"] = [b"\0\1", b"\0\2"], 6
    speakers["vip"], speakers["seen_ns"] = b"1" * 16, 10 * SECOND
    instance.record_replies(flows, speakers, None)
    newer = speakers.copy()
    newer["vip"], newer["seen_ns"] = b"2" * 16, [11 * SECOND, 13 * SECOND]

    instance.record_replies(flows, newer, 2 * SECOND)

    found = {
        key.tobytes(): value.tobytes()
        for key, value in zip(*instance.replies(), strict=True)
    }
    assert found == {
        flows[0].tobytes(): speakers[0].tobytes(),  # newer by less than the margin
        flows[1].tobytes(): newer[1].tobytes(),
    }
