"""Compiled programs as values, and as files."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.bytecode import unlinked
from dataplane.cache import Cache
from dataplane.libbpf import MAP_ARRAY, MAP_HASH, MapShape
from tests.support.users import AS_ROOT

ARRAY, HASH = MapShape(MAP_ARRAY, 4, 8, 1024, 0), MapShape(MAP_HASH, 12, 4, 7, 0)
SHAPES = {"slots": ARRAY, "records": HASH}


def instruction(code: int, source: int, number: int) -> bytes:
    return struct.pack("<BBhi", code, source << 4, 0, number)


def map_load(number: int) -> bytes:
    return instruction(0x18, 1, number) + instruction(0, 0, 0)


NUMBER = instruction(0x18, 0, 7) + instruction(0, 0, 9)  # 64 bits that are no map
MOVE = instruction(0xB7, 0, 7)
# The second half of a long number may look like anything.
LOOKS_LIKE_ONE = instruction(0x18, 0, 7) + instruction(0x18, 1, 7)


def program(slots: int, records: int) -> bytes:
    names = map_load(slots) + MOVE + NUMBER + map_load(records) + map_load(slots)
    return names + LOOKS_LIKE_ONE + MOVE


def test_a_program_names_its_maps_by_other_descriptors_in_another_process() -> None:
    code = unlinked(program(7, 9), {"slots": 7, "records": 9}, SHAPES)

    assert code.linked({"slots": 9, "records": 7}) == program(9, 7)
    assert code.linked({"slots": 100, "records": 101}) == program(100, 101)
    assert code.shapes == SHAPES


def test_a_map_that_the_program_does_not_use_is_one_of_its_maps() -> None:
    descriptors = {"slots": 7, "records": 9, "spare": 3}

    code = unlinked(program(7, 9), descriptors, {**SHAPES, "spare": ARRAY})

    assert code.linked(descriptors) == program(7, 9)
    assert set(code.shapes) == {"slots", "records", "spare"}


def test_a_map_without_a_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        unlinked(program(7, 9), {"slots": 7}, SHAPES)


CODE = unlinked(program(7, 9), {"slots": 7, "records": 9}, SHAPES)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


def test_what_was_stored_is_found_by_its_text_alone(cache: Cache) -> None:
    assert cache.find("text") is None

    cache.store("text", CODE)

    assert cache.find("text") == CODE
    assert cache.find("another text") is None


def test_only_the_owner_can_read_or_write_it(cache: Cache, tmp_path: Path) -> None:
    cache.store("text", CODE)

    (file,) = files(tmp_path)
    modes = [path.stat().st_mode & 0o777 for path in (file.parent, file)]
    assert modes == [0o700, 0o600]


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_what_others_may_have_written_is_not_there(
    cache: Cache, tmp_path: Path, mode: int
) -> None:
    cache.store("text", CODE)
    files(tmp_path)[0].chmod(mode)

    assert cache.find("text") is None


@AS_ROOT
def test_what_belongs_to_somebody_else_is_not_there(cache: Cache, tmp_path: Path) -> None:
    cache.store("text", CODE)
    os.chown(files(tmp_path)[0], 12345, 12345)

    assert cache.find("text") is None


@given(st.data())
def test_what_is_damaged_is_not_there(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("cache")
    cache = Cache(directory)
    cache.store("text", CODE)
    (file,) = directory.iterdir()
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]
    file.write_bytes(content)

    assert cache.find("text") is None


def test_what_was_damaged_is_replaced(cache: Cache, tmp_path: Path) -> None:
    cache.store("text", CODE)
    files(tmp_path)[0].write_bytes(b"")

    cache.store("text", CODE)

    assert cache.find("text") == CODE


def test_the_programs_that_were_asked_for_last_are_kept(
    cache: Cache, tmp_path: Path
) -> None:
    for number in range(8):
        cache.store(str(number), CODE)
    for age, file in enumerate(files(tmp_path)):
        os.utime(file, (age, age))
    assert cache.find("3")

    for number in range(8, 12):
        cache.store(str(number), CODE)

    assert len(files(tmp_path)) == 8
    assert all(cache.find(str(number)) for number in (3, 8, 9, 10, 11))


def test_a_place_that_is_no_directory_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    cache = Cache(tmp_path / "cache")

    cache.store("text", CODE)

    assert cache.find("text") is None
