"""Numbers within bounds, for options: click's, by names that people know."""

import click


class Whole(click.IntRange):
    """A whole number."""

    name = "integer"


class Real(click.FloatRange):
    """A number that may have a fraction."""

    name = "number"
