"""What a change is about, in its author's words or, failing these, in ours."""

from typing import Final

from control.errors import ConfigError

_MAX_COMMENT: Final = 500  # characters


def comment_or(comment: str, ours: str) -> str:
    """Return ``comment`` if there is one, else ``ours``.

    Raise ConfigError if it could not be shown on one line.
    """
    if len(comment) > _MAX_COMMENT:
        problem = f"has {len(comment)} characters; {_MAX_COMMENT} are allowed"
        raise ConfigError("comment", problem)
    if not comment.isprintable():
        problem = "has a line break or another character that cannot be printed"
        raise ConfigError("comment", problem)
    return comment or ours
