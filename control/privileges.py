"""What the process may do."""

from pathlib import Path
from typing import Final

from control.errors import HostError

# linux/capability.h. Loading needs BPF and PERFMON, for which SYS_ADMIN stands too.
_BITS: Final = {"CAP_NET_ADMIN": 12, "CAP_PERFMON": 38, "CAP_BPF": 39}
_SYS_ADMIN: Final = 21


def require_privileges() -> None:
    """Raise HostError unless the process may load and attach XDP programs."""
    effective = _effective(Path("/proc/self/status").read_text(encoding="ascii"))
    stand_in = effective >> _SYS_ADMIN & 1
    missing = [
        name
        for name, bit in _BITS.items()
        if not (effective >> bit & 1 or (stand_in and name != "CAP_NET_ADMIN"))
    ]
    if missing:
        raise HostError(
            f"loading XDP programs needs {' and '.join(missing)}: run it as root"
        )


def _effective(status: str) -> int:
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return int(fields["CapEff"], 16)
