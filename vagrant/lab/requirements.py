"""Whether a lab can be made on this machine, and if not, why."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from vagrant.lab import xdp_pass
from vagrant.lab.errors import HostError

_TOOLS: Final = {  # and Debian's packages that have them
    "ip": "iproute2",
    "ethtool": "ethtool",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "umount": "mount",
}


def missing() -> str | None:
    """Return what is missing here, in a sentence; None if a lab can be made."""
    if os.geteuid() != 0:
        return "the lab makes network namespaces, which only root may do: try sudo"
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            return f"the lab needs {tool} (Debian: apt-get install {package})"
    attempt = subprocess.run(
        ("unshare", "--net", "true"),
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    if attempt.returncode != 0:
        return f"no network namespaces can be made here: {attempt.stderr.strip()}"
    if "bpf" not in Path("/proc/filesystems").read_text(encoding="ascii").split():
        return "this kernel has no bpffs, so nothing can be pinned"
    try:
        xdp_pass.try_loading()
    except HostError as error:
        return str(error)
    return None
