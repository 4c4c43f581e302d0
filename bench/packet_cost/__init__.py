"""What a packet costs in the XDP program: ``python -m bench.packet_cost``."""
