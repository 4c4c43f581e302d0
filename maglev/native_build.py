"""Makes ``maglev.native`` of the C files beside it; for setup.py, and for the tests."""

from pathlib import Path
from typing import Final

from cffi import FFI

HERE: Final = Path(__file__).resolve().parent
_FILES: Final = ("sort.c", "permutation.c", "table.c", "overlay.c")
_INCLUDES: Final = """
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
_Static_assert(XXH_VERSION_NUMBER >= 800, "XXH3 had other values before");
#include "native.h"
"""
# A fused multiply-add rounds once where two operations round twice: it would give other
# tables on processors that have one.
_FLAGS: Final = ("-std=gnu11", "-O2", "-ffp-contract=off", "-Wall", "-Wextra")


def builder(name: str = "maglev.native", *flags: str) -> FFI:
    """Return what compiles the extension module ``name``, with more compiler ``flags``."""
    ffi = FFI()
    ffi.cdef((HERE / "native.h").read_text(encoding="utf-8"))
    ffi.set_source(
        name,
        _INCLUDES + "".join(f'#include "{file}"\n' for file in _FILES),
        include_dirs=[str(HERE)],
        depends=[str(HERE / file) for file in (*_FILES, "native.h")],
        extra_compile_args=[*_FLAGS, *flags],
        extra_link_args=list(flags),
    )
    return ffi


native: Final = builder()
