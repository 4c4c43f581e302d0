"""A guided tour of guideway: what it promises, tried on this machine and measured."""
