"""Slips of the pen, and what was meant."""

from collections.abc import Iterable


def did_you_mean(said: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the one of ``known`` most like ``said``.

    "" if none is like it.
    """
    from difflib import get_close_matches  # noqa: PLC0415 - only of what is wrong

    meant = get_close_matches(said, known, n=1)
    return f"; did you mean `{meant[0]}`?" if meant else ""
