"""Ids, clock, errors, canonical JSON: what every layer may rely on."""
