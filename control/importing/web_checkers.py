"""keepalived's HTTP_GET and SSL_GET: each url becomes a check of its own."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from control.importing.body import Body
from control.importing.statements import Statement

_FLAGS: Final = {"caseless": "i", "multiline": "m", "dotall": "s", "ungreedy": "U"}  # RE2's
_SENTENCES: Final[Mapping[str, str]] = {
    "regex_stack": "RE2 needs no stack; left out",
    "regex_min_offset": "the body is searched from its beginning; left out",
    "regex_max_offset": "the first MiB of the body is searched; left out",
}


def requests(body: Body, host: str | None) -> Iterator[dict[str, Any]]:
    """Yield what each url of an HTTP_GET or SSL_GET asks, as keys of an HttpCheck.

    ``host`` is the virtualhost of those that have none.
    """
    host = body.word("virtualhost") or host
    urls = body.every("url")
    if not urls:
        body.notes.add(body.block.place, body.block.keyword, "has no url; / is asked for")
        urls = [Statement(body.block.place, "url")]
    for one in urls:
        url = Body(one, body.notes)
        values = {
            "path": url.word("path"),
            "digest": (url.word("digest") or "").lower() or None,
            "host": url.word("virtualhost") or host,
            "status": _status(url),
            "regex": _regex(url),
        }
        url.rest(_SENTENCES)
        yield {name: value for name, value in values.items() if value is not None}


def _status(url: Body) -> str | None:
    found = url.last("status_code")
    return ",".join(found.arguments) if found and found.arguments else None


def _regex(url: Body) -> str | None:
    """Take a pattern with its options; one that must not match cannot be had."""
    pattern, options = url.word("regex"), url.last("regex_options")
    against = url.last("regex_no_match")
    flags = ""
    for option in options.arguments if options else ():
        if option in _FLAGS:
            flags += _FLAGS[option]
        elif options:
            url.note(options, f"RE2 has no {option}; left out")
    if pattern is None:
        return None
    if against:
        url.note(against, "a pattern has to match here; the regex is left out")
        return None
    return f"(?{flags}){pattern}" if flags else pattern
