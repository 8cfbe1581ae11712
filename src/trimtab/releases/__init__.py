"""Releases bundle artifact digests; environments point at releases; the audit log remembers who moved what."""
