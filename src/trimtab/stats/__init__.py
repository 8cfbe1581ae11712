"""Pure numerics: e-processes and intervals. Imports nothing of ours but core."""

from trimtab.stats.betting import Bet, PairedBetting, PendingPairs, betting_grid, betting_weights
from trimtab.stats.ebh import e_benjamini_hochberg
from trimtab.stats.intervals import Interval, Moments, mean_difference_sequence, wilson_interval
from trimtab.stats.judged import Estimate, JudgedArm, JudgedScores, corrected_difference
from trimtab.stats.scores import RATIO_REACH, RatioScale, quantile, ratio_margin, ratio_scale, within
from trimtab.stats.srm import SampleRatio, log_bayes_factor
from trimtab.stats.text_features import text_features
from trimtab.stats.two_sample import TwoSampleBetting

__all__ = [
    "RATIO_REACH",
    "Bet",
    "Estimate",
    "Interval",
    "JudgedArm",
    "JudgedScores",
    "Moments",
    "PairedBetting",
    "PendingPairs",
    "RatioScale",
    "SampleRatio",
    "TwoSampleBetting",
    "betting_grid",
    "betting_weights",
    "corrected_difference",
    "e_benjamini_hochberg",
    "log_bayes_factor",
    "mean_difference_sequence",
    "quantile",
    "ratio_margin",
    "ratio_scale",
    "text_features",
    "wilson_interval",
    "within",
]
