"""Strategies for what is nearly right: files and messages with something wrong in them."""

import re

from hypothesis import strategies as st

# Words at which YAML or its reader may stumble.
ODDITIES = [
    "!!bool maybe",
    "!!timestamp never",
    "!!int x",
    "!!float x",
    "!!binary x",
    "!!binary aGVsbG8=",
    "!!set {a, b}",
    "!!omap [a: 1]",
    "!!pairs [a: 1]",
    "!!null x",
    "!unknown x",
    "? [a]",
    "[[a]]: 1",
    "{{a: 1}: 2}",
    "&a [*a]",
    "*a",
    "<<: 5",
    "<<: [5]",
    "=",
    "2001-99-99",
    "2001-01-01",
    "1e999",
    ".nan",
    "-.inf",
    "0x",
    "1_0",
    "1:60",
    "9" * 400,
    "9" * 5000,
    "[" * 2000,
    "~",
    '""',
    '"\\uD800"',
    '"\\0"',
    "\t",
    "---",
    "...",
    "%YAML 9.9",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
]


@st.composite
def damaged_texts(draw: st.DrawFn, whole: str) -> str:
    """Draw ``whole`` with some of its words or of its lines replaced."""
    text = whole
    for _ in range(draw(st.integers(1, 3))):
        words = [word.span() for word in re.finditer(r"[^\s,{}\[\]:]+|\n", text)]
        start, end = draw(st.sampled_from(words or [(0, 0)]))
        other = draw(st.sampled_from(ODDITIES) | st.text(max_size=8))
        text = text[:start] + other + text[end:]
    return text


@st.composite
def damaged_bytes(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw ``whole`` with a few bytes of it replaced by a few others."""
    data = whole
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        data = data[:start] + draw(st.binary(max_size=8)) + data[end:]
    return data
