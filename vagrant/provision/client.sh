#!/bin/sh
# client.sh ADDRESS: make the virtual machine that has ADDRESS one that tries the service. Once
# more does no harm.
set -eu
[ $# = 1 ] || { echo "usage: client.sh ADDRESS" >&2; exit 2; }
. "$(dirname "$0")/network.sh"

"$(dirname "$0")/offload.sh" "$1"
need curl
