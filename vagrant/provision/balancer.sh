#!/bin/sh
# balancer.sh PACKAGE dr|nat FRONT BACK PRIORITY [XDP]: make this host a node. PACKAGE is what
# `make deb` has made; FRONT and BACK are this node's own addresses; the one with the higher
# PRIORITY is Active; XDP is native, or generic for network cards without. Once more does no harm.
set -eu
[ $# -ge 5 ] || { echo "usage: balancer.sh PACKAGE dr|nat FRONT BACK PRIORITY [XDP]" >&2; exit 2; }
package=$1 mode=$2 front=$3 back=$4 priority=$5 xdp=${6:-native}
. "$(dirname "$0")/network.sh"
case $mode in dr | nat) ;; *) die "the mode is dr or nat, not $mode" ;; esac
[ -f "$package" ] || die "there is no $package: make deb makes it"
outside=$(interface_of "$front")
inside=
[ "$mode" = dr ] || inside=$(interface_of "$back")

installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' guideway 2>/dev/null)" = installed ] &&
		dpkg-deb --ctrl-tarfile "$package" | tar -xO ./md5sums |
		cmp -s - /var/lib/dpkg/info/guideway.md5sums
}

# What it depends on may be here already; then no network is needed. Files that this script wrote
# are not asked about: it writes them again.
install_package() {
	! installed || return 0
	export DEBIAN_FRONTEND=noninteractive
	get_package || { apt-get update -qq && get_package; }
}

get_package() {
	apt-get install -qq --reinstall --no-install-recommends --allow-downgrades \
		-o Dpkg::Options::=--force-confold "$package"
}

guidewayd_file() {
	if [ "$mode" = dr ]; then
		interfaces="$outside" servers=$FRONT_NETWORK
	else
		interfaces="$outside, $inside" servers=$BACK_NETWORK
	fi
	cat <<-YAML
		# Made by guideway's vagrant/provision/balancer.sh; the same on both nodes.
		interfaces: [$interfaces]
		xdp_mode: $xdp
		hash_seed: 3141592653
		api: {group: guideway}
		services:
		  - name: web
		    vip: $VIP
		    port: 80
		    mode: $mode
		    check: {type: http, path: /, interval: 1, timeout: 1, rise: 2, fall: 3}
		    backends:
	YAML
	for host in $HOSTS; do
		echo "      - {name: rs$((host - 20)), address: $servers.$host}"
	done
}

vrrpd_file() {
	cat <<-YAML
		# Made by guideway's vagrant/provision/balancer.sh.
		checks:
		  - {name: data-plane, type: guidewayd, backends: false}
		  - {name: backends, type: guidewayd}
		instances:
		  - name: front
		    interface: $outside
		    vrid: 51
		    priority: $priority
		    interval: 0.5
		    track: [data-plane, {check: backends, weight: -60}]
		    addresses:
		      - $VIP/32
	YAML
	if [ "$mode" = nat ]; then
		echo "      - {address: $GATEWAY/24, interface: $inside}"
	fi
}

sysctls() {
	[ "$mode" = nat ] || { echo "# DR needs nothing."; return; }
	cat <<-CONF
		net.ipv4.ip_forward = 1
		net.ipv4.conf.$inside.accept_local = 1
		net.ipv4.conf.all.rp_filter = 0
		net.ipv4.conf.$inside.rp_filter = 0
	CONF
}

# start UNIT FILE: start it, or start it again where it may not have read its file yet; also if
# this script was ended between the two.
start() {
	systemctl --quiet enable "$1"
	read_=/run/balancer.sh.$1
	if [ -z "$(find "$read_" -newer "$2" 2>/dev/null)" ]; then
		touch "$read_.new"
		systemctl restart "$1"
		mv "$read_.new" "$read_"
	fi
	systemctl start "$1"
}

install_package
sysctls | put /etc/sysctl.d/60-guideway.conf 644
sysctl --quiet --load /etc/sysctl.d/60-guideway.conf
guidewayd_file | put /etc/guideway/guideway.yaml 600 guidewayd --check --config
start guidewayd /etc/guideway/guideway.yaml
vrrpd_file | put /etc/guideway/vrrp.yaml 644 guideway-vrrpd --check --config
start guideway-vrrpd /etc/guideway/vrrp.yaml
