"""The few kernel headers that BCC insists on, made up from the system's UAPI headers.

BCC looks for the running kernel's build tree, which a production host seldom has. An XDP
program needs user-space API headers only; Debian's linux-libc-dev has them. BCC 0.26
reads from the tree what is written below and nothing else.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dataplane.errors import LoadError

_USER_HEADERS: Final = Path("/usr/include")
_PREFIX: Final = "guideway-headers-"  # of temporary directories; then our process id

_KCONFIG: Final = """\
#define CONFIG_BPF_SYSCALL 1
#define __LINUX_BPF_H__ /* BCC brings its own bpf.h; the system's would define it twice */
#define _LINUX_IF_H     /* wants the C library's sys/socket.h */
#include <linux/types.h>
typedef __u8 u8; typedef __u16 u16; typedef __u32 u32; typedef __u64 u64;
typedef __s8 s8; typedef __s16 s16; typedef __s32 s32; typedef __s64 s64;
typedef __SIZE_TYPE__ size_t; typedef __UINTPTR_TYPE__ uintptr_t;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)
#define IFNAMSIZ 16
"""


@contextmanager
def tree() -> Iterator[Path]:
    """Yield a directory with them, for ``BCC_KERNEL_SOURCE`` to name.

    Those of processes that were killed while they had one are taken away. Raises LoadError
    if the system's headers are missing.
    """
    temporary = Path(tempfile.gettempdir())
    for left in temporary.glob(f"{_PREFIX}[0-9]*-*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)  # another one may be at it, too
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-") as made:
        _fill(Path(made))
        yield Path(made)


def _fill(root: Path) -> None:
    machine = _USER_HEADERS / f"{platform.machine()}-linux-gnu" / "asm"
    if not (_USER_HEADERS / "linux" / "if_ether.h").exists() or not machine.exists():
        raise LoadError("the user-space kernel headers are missing: install linux-libc-dev")
    include = root / "include"
    for directory in ("linux", "asm", "uapi"):
        (include / directory).mkdir(parents=True)
    (include / "uapi" / "linux").symlink_to(_USER_HEADERS / "linux")
    (include / "uapi" / "asm").symlink_to(machine)
    (include / "uapi" / "asm-generic").symlink_to(_USER_HEADERS / "asm-generic")
    (include / "linux" / "log2.h").touch()
    (include / "linux" / "kconfig.h").write_text(_KCONFIG)
    (include / "asm" / "page.h").write_text("#define PAGE_SIZE 4096UL\n")
