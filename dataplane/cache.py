"""Programs that were compiled before, as files: clang takes most of the time of a start.

What is not there, not whole or not ours is compiled anew. What is there the kernel
verifies like any other program.
"""

import hashlib
import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from dataplane.bytecode import Bytecode

_KEPT: Final = 8  # programs: what is not asked for any more goes
_WRITABLE_BY_OTHERS: Final = 0o022
_LARGEST: Final = 1 << 24  # bytes
_WRITE_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIGEST: Final = 32  # bytes


class Cache:
    """A directory of such files. Nothing that happens to it keeps anybody from starting."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def find(self, text: str) -> Bytecode | None:
        """Return what the program ``text`` was compiled to."""
        try:
            with self._file(text).open("rb") as file:
                owner = os.fstat(file.fileno())
                # Whoever else could write it would choose what we load.
                if owner.st_uid != os.geteuid() or owner.st_mode & _WRITABLE_BY_OTHERS:
                    return None
                content = file.read(_LARGEST)
        except OSError:
            return None
        digest, packed = content[:_DIGEST], content[_DIGEST:]
        if hashlib.blake2b(packed, digest_size=_DIGEST).digest() != digest:
            return None
        try:
            found = msgspec.msgpack.decode(packed, type=Bytecode)
        except msgspec.MsgspecError:
            return None
        with suppress(OSError):
            os.utime(self._file(text))  # it is asked for
        return found

    def store(self, text: str, bytecode: Bytecode) -> None:
        """Keep what ``text`` was compiled to, if that is possible."""
        packed = msgspec.msgpack.encode(bytecode)
        digest = hashlib.blake2b(packed, digest_size=_DIGEST).digest()
        file = self._file(text)
        new = file.with_suffix(f".{os.getpid()}")
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(new, _WRITE_NEW, 0o600), "wb") as out:
                out.write(digest + packed)
            new.replace(file)
            self._forget_old()
        except OSError:
            with suppress(OSError):
                new.unlink(missing_ok=True)

    def _file(self, text: str) -> Path:
        what = f"{platform.machine()}\n{text}".encode()
        name = hashlib.blake2b(what, digest_size=16).hexdigest()
        return self._directory / f"{name}.program"

    def _forget_old(self) -> None:
        files = sorted(self._directory.glob("*.*"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_KEPT]:
            file.unlink(missing_ok=True)
