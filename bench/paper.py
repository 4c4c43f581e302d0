"""The paper's algorithm in plain C, paper.c, compiled when a program asks for it."""

from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from cffi import FFI
from numpy.typing import NDArray

from maglev import Permutations, Table

_SOURCE: Final = Path(__file__).with_name("paper.c")
_NAME: Final = "bench_paper"
_FLAGS: Final = ("-std=gnu11", "-O2")  # as for maglev.native
_DECLARATIONS: Final = """
const char *compiler(void);
void populate(const uint32_t *offsets, const uint32_t *skips, uint32_t backends,
              uint32_t size, uint32_t *next, int32_t *table);
"""
_COMPILER: Final = 'static const char *compiler(void) { return "GNU C " __VERSION__; }'


class Paper:
    """The algorithm, compiled."""

    def __init__(self) -> None:
        """Compile it in a directory that is gone afterwards."""
        with TemporaryDirectory() as folder:
            module = _load(_compile(folder))
        self._ffi: Any = module.ffi
        self._lib: Any = module.lib
        self.compiler: Final[str] = self._ffi.string(self._lib.compiler()).decode()

    def builder(self, permutations: Permutations) -> "Builder":
        """Return what builds tables of ``permutations``."""
        return Builder(self._ffi, self._lib, permutations)


class Builder:
    """Builds the table of a pool with equal weights, as often as wanted."""

    def __init__(self, ffi: Any, lib: Any, permutations: Permutations) -> None:
        """Copy the permutations, in the order in which maglev's backends take turns."""
        turns = list(permutations.turns)
        self._turns = np.array(turns, np.int32)
        self._ffi, self._lib = ffi, lib
        lists = permutations.lists
        self._offsets = ffi.new("uint32_t[]", [lists[index].offset for index in turns])
        self._skips = ffi.new("uint32_t[]", [lists[index].skip for index in turns])
        self._next = ffi.new("uint32_t[]", len(turns))
        self._size = permutations.size

    def build(self) -> NDArray[np.int32]:
        """Return the table; an owner is the number of its turn, not yet a backend."""
        table = np.empty(self._size, np.int32)
        self._lib.populate(
            self._offsets,
            self._skips,
            len(self._turns),
            self._size,
            self._next,
            self._ffi.from_buffer("int32_t[]", table),
        )
        return table

    def build_with_owners(self) -> Table:
        """Return the table as :meth:`maglev.Permutations.build` does."""
        table: Table = self._turns[self.build()]
        return table


def _compile(folder: str) -> str:
    """Return the path of the extension module."""
    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    source = "\n".join((_SOURCE.read_text(encoding="utf-8"), _COMPILER))
    ffi.set_source(_NAME, source, extra_compile_args=list(_FLAGS))
    return ffi.compile(tmpdir=folder)


def _load(path: str) -> Any:
    loader = ExtensionFileLoader(_NAME, path)
    module = module_from_spec(ModuleSpec(_NAME, loader, origin=path))
    loader.exec_module(module)
    return module
