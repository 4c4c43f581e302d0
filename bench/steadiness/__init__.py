"""Whether VRRP is on time while everything else on the machine is busy."""
