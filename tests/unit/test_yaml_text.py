"""YAML that nobody vouches for is read, or refused in a sentence and in no time."""

import time
from io import BytesIO
from pathlib import Path

import pytest

from control.errors import ConfigError
from control.yaml_text import MAX_BYTES, MAX_DEPTH, parse_yaml, read_stream, read_text


def bomb(levels: int, width: int) -> str:
    """Return a text whose last list stands for ``width ** levels`` values."""
    lines = ["a0: &a0 x"]
    for level in range(1, levels + 1):
        again = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{again}]")
    return "\n".join(lines)


def shared_backends(count: int) -> str:
    """Return services that have the right form, and all share the same many backends."""
    backends = ", ".join(f"{{address: 10.0.{n >> 8}.{n & 255}}}" for n in range(count))
    lines = [f"backends: &b [{backends}]", "services:"]
    lines += [f"- {{name: s{n}, backends: *b}}" for n in range(count)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "c.yaml:1: is nested more than 32 levels deep"),
        ("- " * 100_000, "c.yaml:1: is nested more than 32 levels deep"),
        ("{a: " * 100_000, "c.yaml:1: is nested more than 32 levels deep"),
        ("a: {b: [c]}\n" * 600_000, "c.yaml:"),
        (bomb(9, 10), "c.yaml:8: has more than 2,000,000 values, aliases counted"),
        (shared_backends(3000), "has more than 2,000,000 values, aliases counted"),
        ("a: &a [*a]", "c.yaml:1: *a stands within what it stands for"),
        ("a: *b", "c.yaml:1: not YAML: found undefined alias"),
        ("1:" * 100_000 + "1", "c.yaml:1: not YAML: a number of 200001 characters"),
        ("1:" * 500 + "1.5", "c.yaml:1: not YAML: a number of 1003 characters"),
        ("? " + "x" * 9999 + "\n? " + "x" * 9999, "c.yaml:2: not YAML: 'xxxxxxxx"),
        ("\0" * 100, "c.yaml: not YAML: unacceptable character #x0000"),
        (
            "a:\n\t- b",
            "c.yaml:2: not YAML: found character that cannot start any token",
        ),
        ("x" * (MAX_BYTES + 1), "c.yaml: has more than 8 MiB; no configuration does"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_hostile_is_refused_in_a_sentence_and_at_once(text, sentence) -> None:
    began = time.thread_time()

    with pytest.raises(ConfigError) as refused:
        parse_yaml(text, "c.yaml")

    said = str(refused.value)
    assert sentence in said
    assert len(said) < 300
    assert "\n" not in said
    assert time.thread_time() - began < 5


def test_tabs_are_told_about() -> None:
    with pytest.raises(ConfigError, match="; indent by spaces"):
        parse_yaml("a:\n\t- b", "c.yaml")


def test_what_is_nested_as_deeply_as_may_be_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH

    assert parse_yaml(text, "c.yaml") is not None


def test_aliases_are_for_those_who_use_them_well() -> None:
    text = "a: &a {x: 1}\nb: [*a, *a]\nc: {<<: *a, y: 2}"

    assert parse_yaml(text, "c.yaml") == {
        "a": {"x": 1},
        "b": [{"x": 1}, {"x": 1}],
        "c": {"x": 1, "y": 2},
    }


def test_ten_megabytes_are_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "guideway.yaml"
    path.write_bytes(b"\xff" * 10_000_000)

    with pytest.raises(ConfigError, match=r"guideway.yaml: has more than 8 MiB"):
        read_text(path)


def test_what_is_not_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="standard input: cannot be read: it is not UTF"):
        read_stream(BytesIO(b"\xff\xfe"), "standard input")
