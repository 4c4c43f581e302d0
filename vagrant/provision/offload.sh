#!/bin/sh
# offload.sh ADDRESS: for a virtual machine beside the nodes, a client or a real server for NAT.
# It sends segments that nobody has split yet, with checksums that nobody has finished; generic
# XDP needs neither. (What comes through a network card needs none of this, and is better off
# without.) Once more does no harm.
set -eu
[ $# = 1 ] || { echo "usage: offload.sh ADDRESS" >&2; exit 2; }
. "$(dirname "$0")/network.sh"

interface=$(interface_of "$1")
need ethtool
at_boot guideway-offload "$(command -v ethtool) -K $interface tx off >/dev/null"
