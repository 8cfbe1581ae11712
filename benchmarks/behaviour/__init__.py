"""What a behavioural diff finds in real answers, flags by chance, and costs (`just bench behaviour`)."""

from benchmarks.behaviour.command import main

__all__ = ["main"]
