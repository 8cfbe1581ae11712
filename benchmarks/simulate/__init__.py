"""Does a rollout keep what it promises? Thousands of seeded rollouts through the real ledger, bets and verdicts, a look
after every event, beside what a naive analysis says of the same users. `just simulate` writes the figures into
docs/explanation/statistics.md.
"""

from benchmarks.simulate.command import main

__all__ = ["main"]
