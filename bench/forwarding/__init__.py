"""How fast packets get through a balancer on veth: ``python -m bench.forwarding``."""
