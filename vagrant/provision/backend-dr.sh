#!/bin/sh
# backend-dr.sh: make this host a real server for DR. It has the VIP on its loopback, and never
# says so by ARP. Once more does no harm.
set -eu
. "$(dirname "$0")/network.sh"

# First of all, or the network would learn of the VIP here.
put /etc/sysctl.d/60-guideway-backend.conf 644 <<-CONF
	net.ipv4.conf.all.arp_ignore = 1
	net.ipv4.conf.all.arp_announce = 2
CONF
sysctl --quiet --load /etc/sysctl.d/60-guideway-backend.conf
at_boot guideway-vip "ip address replace $VIP/32 dev lo"
