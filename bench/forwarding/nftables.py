"""The same work done by nftables: the rulesets, and loading them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.forwarding.network import ENTRANCE, LEGS, PORT, VIP
from vagrant.lab.hosts import Host

MISSING: Final = "nft is missing (Debian: apt-get install nftables): its rows are left out"

_TO_VIP: Final = f"ip daddr {VIP} udp dport {PORT}"
_HASH: Final = f"jhash ip saddr . udp sport mod {len(LEGS)}"
_ADDRESSES: Final = ", ".join(f"{place} : {leg.address}" for place, leg in enumerate(LEGS))
_MACS: Final = ", ".join(f"{place} : {leg.mac.hex(':')}" for place, leg in enumerate(LEGS))
_EXITS: Final = ", ".join(f'{place} : "{leg.exit}"' for place, leg in enumerate(LEGS))

# nft 1.0.6 refuses two closing braces in one line after a statement.
CONNTRACK: Final = f"""\
table ip lb {{
	chain pre {{
		type nat hook prerouting priority dstnat;
		{_TO_VIP} dnat to {_HASH} map {{ {_ADDRESSES} }}
	}}
}}
"""
STATELESS: Final = f"""\
table ip lb {{
	chain pre {{
		type filter hook prerouting priority raw;
		{_TO_VIP} ip daddr set {_HASH} map {{ {_ADDRESSES} }} notrack
	}}
}}
"""
INGRESS: Final = f"""\
table netdev lb {{
	map exits {{
		type mark : iface_index
		elements = {{ {_EXITS} }}
	}}
	chain in {{
		type filter hook ingress device {ENTRANCE} priority 0;
		{_TO_VIP} meta mark set {_HASH} \\
			ether daddr set meta mark map {{ {_MACS} }} \\
			fwd to meta mark map @exits
	}}
}}
"""


def installed() -> bool:
    """Tell whether there is nft on this machine."""
    return shutil.which("nft") is not None


@contextmanager
def rules(host: Host, ruleset: str) -> Iterator[None]:
    """Give ``host`` a ruleset, and no other, for the length of the block."""
    host.run("nft", ruleset)
    try:
        yield
    finally:
        host.run("nft", "flush ruleset")
