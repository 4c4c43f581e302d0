"""Memory that is shared with the kernel, and what we have left in it."""

from typing import Any


class Mirror:
    """A view of shared memory that remembers what was written through it.

    So it is quickly seen whether anybody else has written there.
    """

    def __init__(self, shared: memoryview) -> None:
        """Take the memory as it is for what we have left there."""
        self._shared = shared
        left: Any = memoryview(bytearray(shared))
        self._left = left if shared.format == "B" else left.cast(shared.format)

    def __len__(self) -> int:
        return len(self._shared)

    def __getitem__(self, place: Any) -> Any:
        return self._shared[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        self._left[place] = value
        self._shared[place] = value

    def accept(self) -> None:
        """Take the memory as it is now for what we have left there."""
        self._left[:] = self._shared

    @property
    def is_intact(self) -> bool:
        """Whether the memory is as we have left it."""
        return bool(self._left.tobytes() == self._shared.tobytes())
