"""Tests wait as the lab does: for a condition, with a deadline, never just for a time."""

from vagrant.lab.wait import eventually

__all__ = ["eventually"]
