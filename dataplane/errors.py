"""What can go wrong between us and the kernel.

DataplaneError
├── LoadError      the program could not be compiled, verified or pinned
├── AttachError    an interface is missing, taken, or cannot do what is asked
├── PinError       the bpffs is not there, or holds what is not ours
├── FullError      a map has no room
├── DetachedError  everything was taken away
└── KernelError    a bpf(2) call failed
"""

import errno
import os
from dataclasses import dataclass


class DataplaneError(Exception):
    """Base of all errors of this package; never raised itself."""


@dataclass(eq=False)  # by identity: an exception has to stay hashable
class LoadError(DataplaneError):
    """The program could not be compiled, verified or pinned."""

    problem: str

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False)
class AttachError(DataplaneError):
    """The program cannot be attached to an interface."""

    interface: str
    problem: str

    def __str__(self) -> str:
        return f"interface {self.interface}: {self.problem}"


@dataclass(eq=False)
class PinError(DataplaneError):
    """The bpffs is not there, or holds what is not ours."""

    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class DetachedError(DataplaneError):
    """Program and maps were taken out of the kernel."""

    def __str__(self) -> str:
        return (
            "the data plane is detached: `guideway dataplane reload`, or a restart of "
            "guidewayd, loads and attaches it again"
        )


@dataclass(eq=False)
class FullError(DataplaneError):
    """A map has no room for what is to be written."""

    map: str
    problem: str

    def __str__(self) -> str:
        return f"the map {self.map} is full: {self.problem}"


@dataclass(eq=False)
class KernelError(DataplaneError):
    """A call of libbpf failed."""

    call: str
    code: int  # errno

    def __str__(self) -> str:
        name = errno.errorcode.get(self.code, str(self.code))
        return f"{self.call} failed: {os.strerror(self.code)} ({name})"
