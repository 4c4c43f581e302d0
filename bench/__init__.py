"""Benchmarks: one program per question, run by hand; none is part of the product."""
