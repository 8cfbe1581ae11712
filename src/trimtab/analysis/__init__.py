"""Measurements in, verdicts out: pure functions over values."""
