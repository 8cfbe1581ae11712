"""Benchmarks: each paired with a peer or a floor in the same run."""
