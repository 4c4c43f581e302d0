#!/bin/sh
# lab.sh SOURCE: copy the checkout at SOURCE to /opt/guideway and make it ready, so that `make lab`
# and `make demo` run there: a client, two nodes and three real servers on this one host, in
# network namespaces. Once more does no harm.
set -eu
[ $# = 1 ] || { echo "usage: lab.sh SOURCE" >&2; exit 2; }
. "$(dirname "$0")/network.sh"

need make
mkdir -p /opt/guideway
tar -C "$1" -c --mode=u+rwX,go=rX --exclude=./.venv --exclude=./.cache --exclude=./.git . |
	tar -C /opt/guideway -x
/opt/guideway/deploy/setup lab
