"""Maglev's native code under AddressSanitizer and UBSan: a program of its own.

``python -m tests.support.sanitized_maglev compile DIRECTORY`` makes the module there;
``… check DIRECTORY`` draws inputs for it, good and bad, and compares with the twin;
``… overrun DIRECTORY`` writes past the end of a table, to show that this is noticed.
The last two need the sanitizer's library loaded before all others.
"""

import sys
from array import array
from contextlib import suppress
from importlib import util
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.pools import SIZES, equal, pools

# Nothing of maglev is imported up here: it would take the module that is installed.
_FLAGS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
_NAME = "sanitized"


def compile_into(directory: str) -> None:
    from maglev.native_build import builder  # noqa: PLC0415 - see above

    builder(_NAME, *_FLAGS).compile(tmpdir=directory)


def install(directory: str) -> None:
    """Let the module stand in for ``maglev.native``."""
    (library,) = Path(directory).glob(f"{_NAME}.*.so")
    spec = util.spec_from_file_location(_NAME, library)
    sys.modules["maglev.native"] = module = util.module_from_spec(spec)
    spec.loader.exec_module(module)


def check() -> None:
    from maglev import Overlay, Permutations, build, overlay, twin  # noqa: PLC0415 - see above

    @settings(max_examples=300, database=None, deadline=None)
    @given(pools(), st.sampled_from([2, 3, *SIZES, 4093]), st.data())
    def is_as_the_twin(pool, size, data) -> None:
        try:
            base = build(pool, size)
        except ValueError:
            return
        indices = st.sets(st.integers(0, len(pool) - 1))
        zones = data.draw(st.none() | st.just([index % 2 for index in range(len(pool))]))
        here = Overlay(
            Permutations([i for i, _ in pool], size), [w for _, w in pool], zones
        )
        for down in (data.draw(indices), data.draw(indices)):
            here = here.move(down)
            assert here.table.tolist() == twin.overlay(base.tolist(), pool, down, 0, zones)

    @settings(max_examples=300, database=None, deadline=None)
    @given(
        st.lists(st.tuples(st.binary(max_size=3), st.integers(-1, 65536)), max_size=20),
        st.integers(-1, 40),
        st.sets(st.integers(-1, 20)),
    )
    def refuses_or_answers(pool, size, down) -> None:
        try:
            table = overlay(pool, size, down)
        except ValueError:
            return
        assert -1 <= min(table) <= max(table) < len(pool)

    is_as_the_twin()
    refuses_or_answers()
    for weights in (b"\1\0" * 2000, bytearray(b"\1" * 4000)):
        with suppress(ValueError):
            Permutations([b"%d" % i for i in range(4000)], 4093).build(weights)
    for identities in (np.zeros((500, 0), np.uint8), [array("I", [1, 2]), array("I", [3])]):
        with suppress(ValueError):
            Permutations(identities, 509)
    build(equal(65535), 65537)
    overlay(equal(5000), 65537, range(4990))


def overrun() -> None:
    from maglev.table import ffi, lib  # noqa: PLC0415 - as the package itself has it

    lists, turns = ffi.new("struct maglev_permutation *", (1, 0, 1)), ffi.new("uint32_t *")
    lib.maglev_build(
        lists, turns, ffi.new("uint16_t *", 1), 1, 101, ffi.new("int32_t[100]")
    )


if __name__ == "__main__":
    action, directory = sys.argv[1:]
    if action == "compile":
        compile_into(directory)
    else:
        install(directory)
        {"check": check, "overrun": overrun}[action]()
