"""keepalived's configuration as lines, words and blocks; whatever it is, it is bounded."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.importing import lines as module
from control.importing.files import MAX_BYTES, MAX_FILES, Files
from control.importing.lines import MAX_DEPTH, MAX_LINES, Lines
from control.importing.notes import Notes, Place, RefusedError
from control.importing.statements import MAX_NESTING, Statement, statements
from control.importing.tokens import QuoteError, tokens, uncommented


def words(line: str) -> list[str]:
    return [token.text for token in tokens(uncommented(line))]


def expanded(
    text: str, identity: str = "lb1", others: Mapping[str, str] | None = None
) -> list[str]:
    """Return the lines that keepalived sees; a pattern names one of ``others``."""
    files = others or {}
    found = Lines(lambda pattern, _: [(pattern, files[pattern])], identity, Notes())
    return [line.text.strip() for line in found.of("k.conf", text)]


def tree(text: str) -> list[tuple]:
    """Return statements as tuples of keyword, arguments and body."""

    def plain(one: Statement) -> tuple:
        body = None if one.body is None else [plain(each) for each in one.body]
        return (
            (one.keyword, *one.arguments)
            if body is None
            else (
                (one.keyword, *one.arguments),
                body,
            )
        )

    found = Lines(lambda *_: [], "lb1", Notes()).of("k.conf", text)
    return [plain(one) for one in statements(found)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  a  b\tc ", ["a", "b", "c"]),
        ("a ! b # c", ["a"]),
        ("# all of it", []),
        ('path "/a#b!c" # gone', ["path", "/a#b!c"]),
        ("""abcd" efg h "mnop""", ["abcd efg h mnop"]),
        ("""a 'b "c" d' e""", ["a", 'b "c" d', "e"]),
        (r'"a\"b" c', ['a"b', "c"]),
        (r'"\x41\102\ttab\\"', ["AB\ttab\\"]),
        (r'"\xD800 \cA"', ["? \x01"]),
        ('"" x', ["", "x"]),
        ("group{", ["group", "{"]),
        ("{ a }", ["{", "a", "}"]),
        ('"{"', ["{"]),
        ("${UNKNOWN}", ["${UNKNOWN}"]),
    ],
)
def test_a_line_is_split_as_keepalived_splits_it(line: str, expected: list[str]) -> None:
    assert words(line) == expected


def test_a_quoted_brace_is_a_word() -> None:
    assert [token.brace for token in tokens('"{" { }')] == [False, True, True]


def test_a_quote_has_to_end() -> None:
    with pytest.raises(QuoteError):
        words('a "b')


@given(st.text())
def test_any_line_has_words_or_an_open_quote(line: str) -> None:
    try:
        found = words(line)
    except QuoteError:
        assert '"' in line or "'" in line
    else:
        assert len("".join(found)) <= len(line)


def test_parameters_are_replaced_when_they_are_used() -> None:
    text = """
$BASE=10.2.${SUB}
$SUB=0
${BASE}.100/32
$SUB=10
${BASE}.100/32
$BASE.100 $SUB ${NOBODY}
"""
    assert expanded(text) == ["10.2.0.100/32", "10.2.10.100/32", "$BASE.100 10 ${NOBODY}"]


def test_a_parameter_may_stand_for_several_lines() -> None:
    text = """
$RS= \\
  real_server 10.0.0.${N} 80 { \\
    @lb1 weight 1 \\

    @lb2 weight 2 \\
  }
$TWO= \\
  $N=1 \\
  $RS \\
  $N=2 \\
  $RS
$TWO
"""
    one, two = "real_server 10.0.0.1 80 {", "real_server 10.0.0.2 80 {"
    assert expanded(text) == [one, "weight 1", "}", two, "weight 1", "}"]


@pytest.mark.parametrize(
    ("identity", "expected"), [("lb1", ["a", "d"]), ("lb2", ["b", "c"]), ("", ["c", "d"])]
)
def test_conditions_are_kept_by_identity(identity: str, expected: list[str]) -> None:
    text = "@lb1 a\n@lb2 b\n@^lb1 c\n@^lb2 d"

    assert expanded(text, identity) == expected


def test_what_keepalived_defines_is_known() -> None:
    assert expanded("${_PWD} ${_INSTANCE} ${_RANDOM}") == [". lb1 ${_RANDOM}"]


def test_an_included_file_stands_where_it_is_included() -> None:
    others = {"more.conf": "$X=2\nb $X", "last.conf": "c"}
    text = "a\ninclude more.conf\nd $X\nincludea last.conf"

    assert expanded(text, others=others) == ["a", "b 2", "d 2", "c"]


def test_sequences_are_left_out_with_a_note() -> None:
    notes = Notes()
    found = list(Lines(lambda *_: [], "", notes).of("k.conf", "a\n~SEQ(I,1,9) b $I"))

    assert [line.text for line in found] == ["a"]
    assert [note.place for note in notes] == [Place("k.conf", 2)]


def refusal(text: str, others: Mapping[str, str] | None = None) -> str:
    with pytest.raises(RefusedError) as raised:
        expanded(text, others=others)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_file_that_includes_itself_is_refused() -> None:
    said = refusal("include k.conf", {"k.conf": "include k.conf"})

    assert said == f"k.conf: is included more than {MAX_DEPTH} files deep"


def test_a_parameter_that_stands_for_itself_is_refused() -> None:
    said = "does not come to an end"

    assert said in refusal("$A=${A}\n$A")
    assert said in refusal("$A=${B}${B}\n$B=${A}${A}\n$A")


def test_parameters_that_make_ever_more_lines_are_refused() -> None:
    doubled = "".join(f"$A{n + 1}= \\\n$A{n} \\\n$A{n}\n" for n in range(40))

    assert f"more than {MAX_LINES} lines" in refusal(f"$A0= \\\nx \\\nx\n{doubled}$A40\n")


def test_work_is_bounded_over_all_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WORK", 10_000)
    text = f"$A={'x' * 1000}\n" + "$A\n" * 20

    assert "does not come to an end" in refusal(text)


def test_a_line_too_long_is_refused() -> None:
    assert "k.conf:2: the line has more than 65536 characters" in refusal(
        "a\n" + "b" * 70_000
    )


def test_blocks_are_read_however_they_are_laid_out() -> None:
    text = "a 1 {\n b 2\n c { d 3 }\n}\ne\n{\n}\nf { g h }\n"

    assert tree(text) == [
        (("a", "1"), [("b", "2"), (("c",), [("d", "3")])]),
        (("e",), []),
        (("f",), [("g", "h")]),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a\n}", "k.conf:2: a } closes nothing"),
        ("{", "k.conf:1: a { has no keyword before it"),
        ("a {\n}\n{", "k.conf:3: a { has no keyword before it"),
        ("a\nb {\nc {\n}", "k.conf:2: the block that begins here has no end"),
        ('a "b', "k.conf:1: a quote is not closed"),
        (
            "a {\n" * 20,
            f"k.conf:{MAX_NESTING + 1}: blocks are more than {MAX_NESTING} deep",
        ),
    ],
)
def test_what_is_no_tree_is_refused_with_its_place(text: str, sentence: str) -> None:
    with pytest.raises(RefusedError) as raised:
        tree(text)

    assert str(raised.value) == sentence


def test_includes_are_found_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "b.conf").write_text("b")
    (tmp_path / "d" / "a.conf").write_text("a")
    (tmp_path / "d" / "c.conf").mkdir()
    by = str(tmp_path / "k.conf")

    found = Files().include("d/*.conf", by)

    assert found == [(f"{tmp_path}/d/a.conf", "a"), (f"{tmp_path}/d/b.conf", "b")]
    assert Files().include(f"{tmp_path}/d/b.*", "/elsewhere/k.conf") == found[1:]
    assert Files().include("a\0b", by) == []


def test_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    large, empty = tmp_path / "large", tmp_path / "empty"
    large.write_bytes(b" " * (MAX_BYTES // 2 + 1))
    empty.write_bytes(b"")
    files = Files()
    files.text(str(large))
    with pytest.raises(RefusedError, match="there is more than 4 MiB to read"):
        files.text(str(large))

    files = Files()
    for _ in range(MAX_FILES):
        files.text(str(empty))
    with pytest.raises(RefusedError, match="there are more than 256 files to read"):
        files.text(str(empty))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/dev/zero", "it is not a file"),
        ("/", "Is a directory"),
        ("/nowhere/k.conf", "No such file or directory"),
        ("a\0b", "embedded null byte"),
    ],
)
def test_what_is_no_file_is_refused(path: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=f"cannot be read: {reason}"):
        Files().text(path)


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(RefusedError, match="it is not a file"):
        Files().text(str(tmp_path / "pipe"))
