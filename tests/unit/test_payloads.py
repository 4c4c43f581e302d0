"""Bytes that checks send and look for, as text or digits."""

from control.payloads import payload_bytes, payload_mask


def test_payloads_are_text_or_digits() -> None:
    assert payload_bytes("aé") == b"a\xc3\xa9"
    assert payload_bytes("hex: 00 fF") == b"\0\xff"
    assert payload_bytes("hex:0 0\u3000fF") == b"\0\xff"
    assert (payload_bytes("hex:xA0X"), payload_mask("hex:xA0X")) == (b"\x0a\0", b"\x0f\xf0")
    assert payload_mask("ab") == b"\xff\xff"
