"""Quantiles from counts in logarithmic buckets, right to 1 % of the value.

The method is that of DDSketch (Masson, Rim, Lee: DDSketch, a fast and fully-mergeable quantile
sketch with relative-error guarantees, VLDB 2019): a value belongs to the bucket
ceil(log(value) / log(gamma)) with gamma = (1 + accuracy) / (1 - accuracy), and a bucket stands for
the value 2 gamma^bucket / (gamma + 1). Buckets of different parts are simply added.
"""

import math
from collections.abc import Mapping

ACCURACY = 0.01
"""Largest relative error."""
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
ZERO = 0
"""The bucket of values below 1; the others begin at 1."""


def bucket_of(value: int) -> int:
    """Returns the bucket of a value, such as milliseconds."""
    return ZERO if value < 1 else 1 + math.ceil(math.log(value, GAMMA))


def value_of(bucket: int) -> float:
    """Returns the value that a bucket stands for."""
    return 0.0 if bucket == ZERO else float(2 * GAMMA ** (bucket - 1) / (GAMMA + 1))


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """Returns the value that a share of all values does not pass; None without values.

    Args:
        buckets: How many values are in each bucket.
        share: From 0 to 1, such as 0.5 for the median.
    """
    rank = math.ceil(share * sum(buckets.values()))
    seen = 0
    for bucket, count in sorted(buckets.items()):
        seen += count
        if count and seen >= rank:
            return value_of(bucket)
    return None
