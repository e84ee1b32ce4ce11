"""What a training run writes down while it goes: the rows of history.csv."""

import csv
import io
import os
from pathlib import Path

import pandas as pd

COLUMNS = (
    "step", "stage", "images", "seconds", "images_per_second", "lr", "total", "rec", "adv", "ssim",
    "mask", "landmarks", "D", "D_real", "code", "code_mean", "code_std", "psnr_frame",
    "psnr_hidden",
)  # fmt: skip
"""step: steps done in all; images: seen in all; lr at that step; total .. mask: Eq. 6 and its
terms, unweighted, averaged since the last row (rec, mask in grey levels); landmarks: how far they
are off, in percent of the picture's side; D, D_real: the discriminator's loss and its mean
probability for real pictures; code: the code adversary's loss; psnr_*: raw output on held-back
pictures."""


class History:
    """The rows of history.csv, in memory and on disk; a resumed run goes on without doubles.

    columns: what a row may hold, in this order; other trainings have other losses.
    """

    def __init__(self, folder, columns=COLUMNS):
        self.path = Path(folder) / "history.csv"
        self.columns, self.rows = columns, []

    def restore(self, step):
        """Read what an earlier run wrote up to `step` and drop what it wrote after."""
        self.rows = []
        if self.path.is_file():
            with open(self.path, newline="") as file:
                rows = [row for row in csv.DictReader(file) if None not in row.values()]
            self.rows = [self._numbers(row) for row in rows if int(row["step"]) <= step]
        partial = self.path.with_suffix(".tmp")
        partial.write_text(_line(self.columns) + "".join(map(self._format, self.rows)))
        os.replace(partial, self.path)

    def add(self, **row):
        """Append one row, in memory and on disk."""
        self.rows.append(row)
        with open(self.path, "a", newline="") as file:
            file.write(self._format(row))

    def _format(self, row):
        values = (row.get(column, "") for column in self.columns)
        return _line(f"{v:.6g}" if isinstance(v, float) else v for v in values)

    def _numbers(self, row):
        whole = {"step", "images"}
        kept = {key: value for key, value in row.items() if key in self.columns and value != ""}
        return {
            key: value if key == "stage" else int(value) if key in whole else float(value)
            for key, value in kept.items()
        }

    def table(self):
        """All rows as a DataFrame with the columns of history.csv; what was not measured is NaN."""
        return pd.DataFrame(self.rows, columns=self.columns)

    def last(self, column):
        """The newest value of a column, NaN where there is none yet."""
        return next((row[column] for row in reversed(self.rows) if column in row), float("nan"))


def _line(values):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
