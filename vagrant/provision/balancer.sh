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

install_package() {
	export DEBIAN_FRONTEND=noninteractive
	have=$(dpkg-query -W -f='${Version} ${db:Status-Status}' guideway 2>/dev/null || true)
	[ "$have" != "$(dpkg-deb -f "$package" Version) installed" ] || return 0
	# What it depends on may be here already; then no network is needed.
	apt-get install -qq --no-install-recommends "$package" ||
		{ apt-get update -qq && apt-get install -qq --no-install-recommends "$package"; }
}

guidewayd_file() {
	outside=$(interface_of "$front")
	if [ "$mode" = dr ]; then
		interfaces="$outside" servers=$FRONT_NETWORK
	else
		interfaces="$outside, $(interface_of "$back")" servers=$BACK_NETWORK
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
		    interface: $(interface_of "$front")
		    vrid: 51
		    priority: $priority
		    interval: 0.5
		    track: [data-plane, {check: backends, weight: -60}]
		    addresses:
		      - $VIP/32
	YAML
	if [ "$mode" = nat ]; then
		echo "      - {address: $GATEWAY/24, interface: $(interface_of "$back")}"
	fi
}

sysctls() {
	[ "$mode" = nat ] || { echo "# DR needs nothing."; return; }
	inside=$(interface_of "$back")
	cat <<-CONF
		net.ipv4.ip_forward = 1
		net.ipv4.conf.$inside.accept_local = 1
		net.ipv4.conf.all.rp_filter = 0
		net.ipv4.conf.$inside.rp_filter = 0
	CONF
}

# start UNIT CHANGED: start it, or start it again where its file has changed.
start() {
	systemctl --quiet enable "$1"
	if [ "$2" = yes ]; then systemctl restart "$1"; else systemctl start "$1"; fi
}

install_package
sysctls | put /etc/sysctl.d/60-guideway.conf 644 && sysctl --quiet --load /etc/sysctl.d/60-guideway.conf
changed=no
guidewayd_file | put /etc/guideway/guideway.yaml 600 && changed=yes
guidewayd --check
start guidewayd $changed
changed=no
vrrpd_file | put /etc/guideway/vrrp.yaml 644 && changed=yes
guideway-vrrpd --config /etc/guideway/vrrp.yaml --check
start guideway-vrrpd $changed
