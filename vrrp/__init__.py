"""VRRP version 3 for IPv4 (RFC 9568): who of several balancers holds the addresses."""
