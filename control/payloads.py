"""What is sent to a backend and looked for in its answer, as text or hexadecimal digits."""

import re
from typing import Final

_HEX: Final = "hex:"
_HALVES: Final = re.compile("[\ud800-\udfff]")  # of characters beyond U+FFFF


def payload_bytes(text: str) -> bytes:
    """Return the bytes that a payload or a reply stands for; 0 where any will do."""
    if text.startswith(_HEX):
        return bytes.fromhex(re.sub("[Xx]", "0", _digits(text)))
    return text.encode()


def payload_mask(text: str) -> bytes:
    """Return which bits of :func:`payload_bytes` count in a reply: 1 where they do."""
    if text.startswith(_HEX):
        digits = re.sub("[0-9A-Fa-f]", "F", _digits(text))
        return bytes.fromhex(re.sub("[Xx]", "0", digits))
    return b"\xff" * len(text.encode())


def _digits(text: str) -> str:
    """Return the digits behind ``hex:``, whatever spaces are between them."""
    return "".join(text.removeprefix(_HEX).split())


def is_payload(text: str, wild: str) -> bool:
    """Tell whether ``text`` stands for bytes; ``wild`` are digits that stand for any."""
    if not text.startswith(_HEX):
        return not _HALVES.search(text)
    digits = _digits(text)
    return len(digits) % 2 == 0 and bool(re.fullmatch(f"[0-9A-Fa-f{wild}]*", digits))
