"""Manual pages: docs/*.md in man style as roff, and the command line's own help.

python manual.py VERSION DOCS DIRECTORY writes them to DIRECTORY/man1 and man8.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from markdown_it import MarkdownIt
from markdown_it.token import Token

from control.cli.main import guideway

_SECTIONS: Final = {"guideway": 1, "guidewayd": 8, "guideway-vrrpd": 8}
_NARROW: Final = 24  # letters: such a column stands beside the rest as it is
_PLAIN: Final = 2  # columns: with more of them, a table has lines
_ASCII: Final = {
    "\\": "\\e",
    "-": "\\-",
    "'": "\\(aq",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
}


def main(version: str, docs: Path, directory: Path) -> None:
    """Write all pages."""
    for name, section in _SECTIONS.items():
        text = (docs / f"{name}.md").read_text(encoding="utf-8")
        lines = [*_head(name, section, version), *_body(text)]
        if name == guideway.name:
            lines += [".SH COMMANDS", *_commands(guideway, guideway.name)]
        page = directory / f"man{section}" / f"{name}.{section}"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _head(name: str, section: int, version: str) -> Iterator[str]:
    yield "'\\\" t"  # it has tables
    yield f'.TH "{name.upper()}" {section} "" "guideway {version}" "guideway"'
    yield ".nh"
    yield ".ad l"


def _body(text: str) -> Iterator[str]:
    """Yield a page's text as roff, but for its title."""
    tokens = iter(MarkdownIt("commonmark").enable("table").parse(text))
    for token in tokens:
        match token.type:
            case "heading_open":
                inside = next(tokens)
                if token.tag == "h2":
                    yield f".SH {_inline(inside).upper()}"
                elif token.tag != "h1":
                    yield f".SS {_inline(inside)}"
            case "paragraph_open":
                yield ".TP 2\n\\(bu" if token.hidden else ".PP"
            case "inline":
                yield _line(_inline(token))
            case "fence" | "code_block":
                yield from (".PP", ".RS 4", ".nf", *_verbatim(token.content), ".fi", ".RE")
            case "table_open":
                yield from _table(tokens)


def _table(tokens: Iterator[Token]) -> Iterator[str]:
    """Yield a table as tbl wants it; the last column has what is left of the line."""
    rows: list[list[str]] = []
    for token in tokens:
        match token.type:
            case "tr_open":
                rows.append([])
            case "inline":
                rows[-1].append(_inline(token))
            case "table_close":
                break
    columns = len(rows[0])
    widest = [max(_width(row[column]) for row in rows) for column in range(columns)]
    widths = ["l" if each <= _NARROW else "lx" for each in widest[:-1]] + ["lx"]
    yield from (".PP", ".TS", "allbox;" if columns > _PLAIN else "tab(\t);")
    yield " ".join(widths) + "."
    for row in rows:
        if any(row):
            yield "\t".join(f"T{{\n{_line(cell)}\nT}}" for cell in row)
    yield ".TE"


def _width(cell: str) -> int:
    """Return how many letters a cell shows."""
    return len(re.sub(r"\\f.|\\", "", cell))


def _inline(token: Token) -> str:
    """Return a line of text with its code in bold and its links as names."""
    said = []
    for child in token.children or ():
        match child.type:
            case "text":
                said.append(_escaped(child.content))
            case "code_inline":
                said.append(f"\\fB{_escaped(child.content)}\\fR")
            case "strong_open":
                said.append("\\fB")
            case "em_open":
                said.append("\\fI")
            case "strong_close" | "em_close":
                said.append("\\fR")
            case "softbreak":
                said.append(" ")
            case "link_close":
                pass
    return "".join(said)


def _line(text: str) -> str:
    """Keep a line of text from being taken for a request."""
    return f"\\&{text}" if text.startswith((".", "\\(aq")) else text


def _verbatim(text: str) -> Iterator[str]:
    for line in text.rstrip("\n").splitlines():
        yield _line(_escaped(line))


def _escaped(text: str) -> str:
    return "".join(_ASCII.get(letter, letter) for letter in text)


def _commands(command: click.Command, name: str) -> Iterator[str]:
    """Yield the help of a command, then that of those below it."""
    context = click.Context(
        command, info_name=name, max_content_width=76, terminal_width=76
    )
    yield f".SS {_escaped(name)}"
    yield ".nf"
    yield from _verbatim(command.get_help(context))
    yield ".fi"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None and not below.hidden:
                yield from _commands(below, f"{name} {each}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
