"""The writes that turn one image into another, on maps that are only dictionaries."""

from dataclasses import fields, replace
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from dataplane.image import FILL_ORDER, Image, Ring
from dataplane.plan import Delete, Put, Reset, Settle, plan
from dataplane.records import (
    MODE_DR,
    Address,
    Backend,
    Endpoint,
    Index,
    Segment,
    Service,
)

ENDPOINTS = [Endpoint(IPv4Address("192.0.2.1"), port, 6) for port in range(80, 84)]
IDS = range(1, 5)


@st.composite
def images(draw) -> Image:
    """Draw an image whose references all hold, rings at places that tell them apart."""
    ids = draw(st.sets(st.sampled_from(IDS), min_size=1))
    backends = {
        Index(number): Backend(
            0,
            IPv4Address("10.0.0.1"),
            80,
            Segment(draw(st.integers(1, 2))),
            bytes(6),
            bytes(6),
        )
        for number in ids
    }
    services, rings = {}, {}
    for number, endpoint in enumerate(draw(st.sets(st.sampled_from(ENDPOINTS)))):
        ring = Ring.of(draw(st.lists(st.sampled_from(sorted(ids)), min_size=1, max_size=4)))
        offset = draw(st.integers(0, 3)) * 100 + hash(ring) % 97
        while rings.get(offset, ring) != ring:
            offset += 1
        rings[offset] = ring
        services[endpoint] = Service(number, offset, len(ring), 0, MODE_DR)
    return Image(
        backends=backends,
        rings=rings,
        services=services,
        vips={Address(key.address): Index(1) for key in services},
    )


def written(image: Image, writes) -> Image:
    tables = {name: dict(getattr(image, name)) for name in FILL_ORDER}
    for write in writes:
        match write:
            case Put(table, key, value):
                tables[table][key] = value
            case Delete(table, key):
                del tables[table][key]
    return Image(**tables)


def dangling(image: Image) -> list[Endpoint]:
    """Return the services that lead nowhere."""
    return [
        endpoint
        for endpoint, service in image.services.items()
        if len(image.rings.get(service.ring_offset, ())) < service.ring_size
        or any(
            Index(number) not in image.backends
            for number in image.rings[service.ring_offset]
        )
    ]


def test_every_table_of_an_image_is_planned_for() -> None:
    assert {field.name for field in fields(Image)} == set(FILL_ORDER)


@given(images(), images())
def test_carrying_out_the_plan_gives_what_was_wanted(actual, wanted) -> None:
    assert written(actual, plan(actual, wanted)) == wanted


@given(images())
def test_there_is_nothing_to_do_when_the_maps_are_right(image) -> None:
    assert list(plan(image, image)) == []


@given(images(), images(), st.data())
def test_a_plan_that_stops_anywhere_is_made_good_by_the_next(actual, wanted, data) -> None:
    writes = list(plan(actual, wanted))
    half_way = written(actual, writes[: data.draw(st.integers(0, len(writes)))])

    assert written(half_way, plan(half_way, wanted)) == wanted


@given(images(), images())
def test_at_no_point_does_a_service_lead_nowhere(actual, wanted) -> None:
    # The controller never reuses the place of a ring that it replaces in the same round.
    taken = {
        offset for offset, ring in actual.rings.items() if wanted.rings.get(offset) != ring
    }
    wanted = _moved(wanted, taken)
    writes = list(plan(actual, wanted))

    for stop in range(len(writes) + 1):
        assert dangling(written(actual, writes[:stop])) == []


def test_what_packets_may_still_hold_is_deleted_after_they_are_gone() -> None:
    endpoint = ENDPOINTS[0]
    full = Image(
        backends={
            Index(1): Backend(
                0, IPv4Address("10.0.0.1"), 80, Segment(1), bytes(6), bytes(6)
            )
        },
        rings={0: (1,)},
        services={endpoint: Service(0, 0, 1, 0, MODE_DR)},
    )

    assert list(plan(full, Image())) == [
        Delete("services", endpoint),
        Settle(),
        Delete("rings", 0),
        Delete("backends", Index(1)),
    ]


def test_a_counter_is_reset_before_its_id_gets_an_owner() -> None:
    backend = Backend(0, IPv4Address("10.0.0.1"), 80, Segment(1), bytes(6), bytes(6))

    writes = list(plan(Image(), Image(backends={Index(1): backend})))

    assert writes == [Reset("backend_counters", 1), Put("backends", Index(1), backend)]


def test_counters_that_the_successor_goes_on_with_are_not_reset() -> None:
    known = Backend(0, IPv4Address("10.0.0.1"), 80, 1, bytes(6), bytes(6))
    new = Backend(0, IPv4Address("10.0.0.2"), 80, 1, bytes(6), bytes(6))
    wanted = Image(backends={Index(1): known, Index(2): new})

    writes = list(plan(Image(), wanted, Image(backends={Index(1): known})))

    assert writes == [
        Put("backends", Index(1), known),
        Reset("backend_counters", 2),
        Put("backends", Index(2), new),
    ]


def _moved(image: Image, taken: set[int]) -> Image:
    """Return ``image`` with its rings at places that are not in ``taken``."""
    moved = {offset: offset + 1000 if offset in taken else offset for offset in image.rings}
    return replace(
        image,
        rings={moved[offset]: ring for offset, ring in image.rings.items()},
        services={
            key: replace(service, ring_offset=moved[service.ring_offset])
            for key, service in image.services.items()
        },
    )
