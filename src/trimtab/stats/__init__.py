"""Pure numerics: e-processes and intervals. Imports nothing of ours but core."""

from trimtab.stats.betting import Bet, PairedBetting, PendingPairs, betting_grid, betting_weights
from trimtab.stats.ebh import e_benjamini_hochberg
from trimtab.stats.intervals import Interval, Moments, mean_difference_sequence, wilson_interval
from trimtab.stats.scores import RATIO_REACH, RatioScale, quantile, ratio_margin, ratio_scale, within
from trimtab.stats.srm import SampleRatio, log_bayes_factor

__all__ = [
    "RATIO_REACH",
    "Bet",
    "Interval",
    "Moments",
    "PairedBetting",
    "PendingPairs",
    "RatioScale",
    "SampleRatio",
    "betting_grid",
    "betting_weights",
    "e_benjamini_hochberg",
    "log_bayes_factor",
    "mean_difference_sequence",
    "quantile",
    "ratio_margin",
    "ratio_scale",
    "wilson_interval",
    "within",
]
