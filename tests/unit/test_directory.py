"""The directory: a hash table in two arrays that packets read while it changes."""

from array import array
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane import abi
from dataplane.directory import KEY_BYTES, VALUE_BYTES, Directory, hash_of
from dataplane.errors import FullError

WORDS = 64
ENTRIES = 16

keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES).filter(any)
values = st.binary(min_size=VALUE_BYTES, max_size=VALUE_BYTES)
changes = st.lists(st.tuples(st.integers(0, 7), values | st.none()), max_size=40)


class Memory:
    """Both arrays, as the kernel has them."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self.words = array("Q", bytes(8 * WORDS))
        self.entries = bytearray(abi.sizeof("gw_entry") * entries)
        self.waits = 0
        self.seen: list[tuple[list[int], bytes]] = []  # at each fence

    def open(self) -> Directory:
        return Directory(
            memoryview(self.words), memoryview(self.entries), self._wait, self._fence
        )

    def entry(self, number: int) -> bytes:
        size = abi.sizeof("gw_entry")
        return bytes(self.entries[number * size : (number + 1) * size])

    def _wait(self) -> None:
        self.waits += 1

    def _fence(self) -> None:
        self.seen.append((self.words.tolist(), bytes(self.entries)))


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "little")


def crowd(count: int) -> list[bytes]:
    """Return keys whose searches begin at one place."""
    tried = map(key, range(1, 1_000_000))
    return list(islice((one for one in tried if hash_of(one) % WORDS == 5), count))


@given(st.lists(keys, min_size=8, max_size=8, unique=True), changes)
def test_packets_find_what_was_put_last_and_not_what_was_removed(names, steps) -> None:
    memory = Memory()
    directory, wanted = memory.open(), {}

    for number, value in steps:
        if value is None:
            directory.remove(names[number])
            wanted.pop(names[number], None)
        else:
            directory.put(names[number], value)
            wanted[names[number]] = value

        assert directory.read() == wanted


@given(st.lists(keys, min_size=8, max_size=8, unique=True), changes)
def test_who_opens_it_next_goes_on_with_what_it_holds(names, steps) -> None:
    memory, wanted = Memory(), {}

    for number, value in steps:
        directory = memory.open()
        if value is None:
            directory.remove(names[number])
            wanted.pop(names[number], None)
        else:
            directory.put(names[number], value)
            wanted[names[number]] = value

    assert memory.open().read() == wanted


def test_an_entry_that_packets_may_be_reading_is_not_written_over() -> None:
    memory = Memory()
    directory = memory.open()
    directory.put(key(1), b"a" * VALUE_BYTES)
    number = memory.words[hash_of(key(1)) % WORDS] & 0xFFFFFFFF
    before, waits = memory.entry(number), memory.waits

    while memory.waits == waits:
        assert memory.entry(number) == before
        directory.put(key(1), b"b" * VALUE_BYTES)


def test_one_entry_more_than_there_is_room_for_is_refused_and_changes_nothing() -> None:
    memory = Memory()
    directory = memory.open()
    for number in range(1, ENTRIES):
        directory.put(key(number), b"")
    before = directory.read()

    with pytest.raises(FullError, match="all 16 entries are in use"):
        directory.put(key(99), b"")

    assert len(before) == ENTRIES - 1
    assert directory.read() == before


def test_keys_whose_searches_begin_at_one_place_are_all_found() -> None:
    crowded = crowd(8)
    directory = Memory().open()

    for one in crowded:
        directory.put(one, one)
    for one in crowded[:4]:
        directory.remove(one)

    assert sorted(directory.read()) == sorted(crowded[4:])


def test_a_key_that_no_search_would_reach_is_refused() -> None:
    *crowded, last = crowd(9)
    directory = Memory().open()
    for one in crowded:
        directory.put(one, one)

    with pytest.raises(FullError, match="nearly the same hash"):
        directory.put(last, b"")


def test_after_the_last_removal_searches_end_at_once_again() -> None:
    memory, crowded = Memory(), crowd(8)
    directory = memory.open()
    for one in crowded:
        directory.put(one, one)

    for one in crowded:
        directory.remove(one)

    assert not any(memory.words)


@given(
    st.lists(st.tuples(st.integers(0, WORDS - 1), st.integers(0, 2**64 - 1)), max_size=10)
)
def test_words_that_somebody_else_wrote_do_no_harm(scribbles) -> None:
    memory = Memory()
    directory = memory.open()
    directory.put(key(1), b"mine".ljust(VALUE_BYTES))
    for place, word in scribbles:
        memory.words[place] = word

    assert set(directory.read()) <= {key(1)}

    directory.put(key(1), b"again".ljust(VALUE_BYTES))
    assert directory.read() == {key(1): b"again".ljust(VALUE_BYTES)}


def test_an_entry_is_whole_before_the_word_that_leads_to_it_is_written() -> None:
    memory = Memory()
    directory = memory.open()

    directory.put(key(1), b"x" * VALUE_BYTES)

    ((words, entries),) = memory.seen
    assert not any(words)
    assert entries == bytes(memory.entries)
    assert any(memory.words)
