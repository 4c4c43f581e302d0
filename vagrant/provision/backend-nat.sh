#!/bin/sh
# backend-nat.sh: make this host a real server for NAT. Its default route leads through the
# Active node, by the address that moves with the VIP. Once more does no harm.
set -eu
. "$(dirname "$0")/network.sh"

at_boot guideway-route "ip route replace default via $GATEWAY"
