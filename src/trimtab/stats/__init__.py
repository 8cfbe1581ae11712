"""Pure numerics: e-processes and intervals. Imports nothing of ours but core."""

from trimtab.stats.betting import Bet, PairedBetting, PendingPairs, betting_grid
from trimtab.stats.intervals import Interval, Moments, mean_difference_sequence, wilson_interval

__all__ = [
    "Bet",
    "Interval",
    "Moments",
    "PairedBetting",
    "PendingPairs",
    "betting_grid",
    "mean_difference_sequence",
    "wilson_interval",
]
