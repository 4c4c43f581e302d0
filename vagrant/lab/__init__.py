"""A small data centre of network namespaces: client, balancers, backends, switches.

The demo and the tests use it as a library; ``python -m vagrant.lab up`` leaves one running.
Everything a lab makes carries the lab's name, so that the next lab of that name finds and
removes what a killed run left behind.
"""
