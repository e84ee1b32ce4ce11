"""What a table with every frame's scores says: means, how far to trust them, paired differences."""

import numpy as np
from scipy import stats

from hmdlib.metrics import COLUMNS


def interval(values, block=15, level=0.95, seed=0):
    """How far the mean of a video's frames can be trusted: (low, high), by a block bootstrap.

    Neighbouring frames show nearly the same picture, so drawing single frames anew would pretend to
    know more than it does. Whole blocks of consecutive frames are drawn instead (Carlstein 1986).
    values: (N,) in the order of time; NaN are left out. block: frames in a block, half a second of
    video by default; fewer where N is small, so that there are at least eight. level: of
    confidence, by percentiles of 10,000 draws. So few blocks make it a little narrow: with 12 or 8
    of them 95 % holds in some 91 or 89 of 100 cases, by Student's t. (nan, nan) for fewer than
    eight values.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) < 8:
        return np.nan, np.nan
    blocks = np.array_split(values, max(8, len(values) // block))
    means = [part.mean() for part in blocks]
    drawn = stats.bootstrap(
        (means,), np.mean, n_resamples=10_000, confidence_level=level, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)


def summarise(frame_scores):
    """The table of one method: mean over pictures of every score, one row per output and region.

    PSNR is the mean of the pictures' decibels, not the decibels of the mean error; psnr_low and
    psnr_high are its `interval`, and so for every score. The column `images` counts the pictures; a
    score that no picture has is NaN ("not available").
    """
    groups = frame_scores.groupby(["output", "region"], sort=False)
    table = groups[COLUMNS].mean()
    table["images"] = groups["image"].nunique()
    for column in COLUMNS:
        limits = [interval(rows.sort_values("image")[column]) for _, rows in groups]
        table[[f"{column}_low", f"{column}_high"]] = limits
    return table.reset_index()


def paired(frame_scores, method, other, column="psnr", output="raw", region="frame"):
    """By how much `method` lies above `other` on the same pictures: (mean, low, high), 95 %.

    frame_scores: rows as `metrics.evaluate` gives them with a column `method`. Pairing takes away
    what is hard for both, so that smaller differences can be told than from two means with an
    interval each. (nan, nan, nan) where the score is not available.
    """
    rows = frame_scores[(frame_scores["output"] == output) & (frame_scores["region"] == region)]
    by_image = rows.pivot_table(index="image", columns="method", values=column, dropna=False)
    difference = (by_image[method] - by_image[other]).to_numpy()
    if not np.isfinite(difference).any():
        return (np.nan,) * 3
    return float(np.nanmean(difference)), *interval(difference)
