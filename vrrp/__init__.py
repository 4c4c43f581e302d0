"""VRRP (RFC 9568 and RFC 3768): who of several balancers holds the addresses."""
