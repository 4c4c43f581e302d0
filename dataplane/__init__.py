"""The packet path: an XDP program and its maps.

Knows packets and maps, nothing of services' policy, health or time.
"""
