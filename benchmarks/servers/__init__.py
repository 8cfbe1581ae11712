"""Gateways under test, each with its configuration: the same upstream behind all of them, one worker on one core."""
