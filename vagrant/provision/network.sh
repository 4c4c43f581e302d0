# shellcheck shell=sh disable=SC2034 # others read it
# The two networks of the walk-through; every other script reads it. Change it for your own.
#
#   client .100 ── front 192.168.56.0/24 ── lb1 .2, lb2 .3 ── back 192.168.57.0/24
#
# DR: the real servers are on the front network, NAT: on the back one, at .21, .22, .23.

VIP=192.168.56.10
FRONT_NETWORK=192.168.56
BACK_NETWORK=192.168.57
GATEWAY=$BACK_NETWORK.1        # the real servers' default route with NAT: it moves with the VIP
HOSTS="21 22 23"       # the last number of each real server's address

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || die "only root can do this: try sudo"
umask 022  # hardened hosts have 077 for root, and not all that is made here is for root alone

# interface_of ADDRESS: the interface that has it.
interface_of() {
	found=$(ip -o -4 address show to "$1" | awk '{print $2; exit}')
	[ -n "$found" ] || die "no interface of this host has the address $1"
	printf '%s\n' "$found"
}

# need PROGRAM: install the package of that name, if this host has no such program.
need() {
	! command -v "$1" >/dev/null || return 0
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$1"
}

# put FILE MODE [CHECK...]: make the standard input FILE's content, if CHECK accepts a file that
# has it. Until then FILE is as it was.
put() {
	file=$1 mode_of_file=$2
	shift 2
	mkdir -p "$(dirname "$file")"
	new=$(mktemp "$file.XXXXXX")
	if cat >"$new" && chmod "$mode_of_file" "$new" && { [ $# = 0 ] || "$@" "$new"; }; then
		if cmp -s "$new" "$file"; then rm "$new"; else mv "$new" "$file"; fi
	else
		rm -f "$new"
		die "$file stays as it was"
	fi
}

# at_boot NAME COMMAND: run a command now, and by systemd whenever the host starts.
at_boot() {
	sh -ec "$2"
	[ -d /run/systemd/system ] || return 0
	put "/etc/systemd/system/$1.service" 644 <<-UNIT
		[Unit]
		Description=what guideway needs of this host: $1
		Wants=network-online.target
		After=network-online.target

		[Service]
		Type=oneshot
		RemainAfterExit=yes
		ExecStart=/bin/sh -ec '$2'

		[Install]
		WantedBy=multi-user.target
	UNIT
	systemctl daemon-reload
	systemctl --quiet enable "$1.service"
}
