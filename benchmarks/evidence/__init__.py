"""Evidence at rest: how large, how fast it is brought there, and how fast it answers."""

from benchmarks.evidence.command import main

__all__ = ["main"]
