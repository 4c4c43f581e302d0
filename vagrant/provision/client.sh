#!/bin/sh
# client.sh ADDRESS: make the host that has ADDRESS one that tries the service. A virtual machine
# beside the nodes sends segments that nobody has split yet, with checksums that nobody has
# finished; generic XDP needs neither. (Clients beyond a network card need none of this.)
set -eu
[ $# = 1 ] || { echo "usage: client.sh ADDRESS" >&2; exit 2; }
. "$(dirname "$0")/network.sh"

if ! command -v ethtool >/dev/null || ! command -v curl >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -qq --no-install-recommends ethtool curl
fi
at_boot guideway-offload "$(command -v ethtool) -K $(interface_of "$1") tx off >/dev/null"
