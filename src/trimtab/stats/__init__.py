"""Pure numerics: e-processes, intervals, and tests for pairs. Imports nothing of ours but core."""

from trimtab.stats.agreement import Level, krippendorff_alpha
from trimtab.stats.beta import clopper_pearson
from trimtab.stats.betting import Bet, PairedBetting, PendingPairs, betting_grid, betting_weights
from trimtab.stats.bootstrap import bootstrap_interval
from trimtab.stats.clustered import ClusteredMean, clustered_mean
from trimtab.stats.ebh import e_benjamini_hochberg
from trimtab.stats.intervals import (
    Interval,
    Moments,
    mean_difference_sequence,
    share_difference_interval,
    wilson_interval,
)
from trimtab.stats.judged import Estimate, JudgedArm, JudgedScores, corrected_difference
from trimtab.stats.multiplicity import benjamini_hochberg, holm
from trimtab.stats.paired_binary import PairedCounts, mcnemar, newcombe_interval, non_inferiority, tango_interval
from trimtab.stats.power import binary_variance, detectable_margin, items_needed, power_of
from trimtab.stats.scores import RATIO_REACH, RatioScale, quantile, ratio_margin, ratio_scale, within
from trimtab.stats.signed_rank import SignedRank, signed_rank
from trimtab.stats.srm import SampleRatio, log_bayes_factor
from trimtab.stats.text_features import text_features
from trimtab.stats.two_sample import TwoSampleBetting

__all__ = [
    "RATIO_REACH",
    "Bet",
    "ClusteredMean",
    "Estimate",
    "Interval",
    "JudgedArm",
    "JudgedScores",
    "Level",
    "Moments",
    "PairedBetting",
    "PairedCounts",
    "PendingPairs",
    "RatioScale",
    "SampleRatio",
    "SignedRank",
    "TwoSampleBetting",
    "benjamini_hochberg",
    "betting_grid",
    "betting_weights",
    "binary_variance",
    "bootstrap_interval",
    "clopper_pearson",
    "clustered_mean",
    "corrected_difference",
    "detectable_margin",
    "e_benjamini_hochberg",
    "holm",
    "items_needed",
    "krippendorff_alpha",
    "log_bayes_factor",
    "mcnemar",
    "mean_difference_sequence",
    "newcombe_interval",
    "non_inferiority",
    "power_of",
    "quantile",
    "ratio_margin",
    "ratio_scale",
    "share_difference_interval",
    "signed_rank",
    "tango_interval",
    "text_features",
    "wilson_interval",
    "within",
]
