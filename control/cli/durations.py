"""Durations on the command line."""

import re
from typing import Final

import click

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}  # seconds
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smh]?)\Z")


class DurationParameter(click.ParamType[float]):
    """Seconds, or a number with its unit: ``90``, ``60s``, ``5m``, ``1h``."""

    name = "DURATION"

    def convert(
        self,
        value: str | float,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Return the seconds, or say what is wrong with ``value``."""
        if isinstance(value, float):
            return value
        found = _DURATION.match(str(value))
        if found is None:
            self.fail(f"{value!r} is not a duration such as 60s, 5m or 1h", param, ctx)
        return float(found[1]) * _UNITS[found[2]]
