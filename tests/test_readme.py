"""README's numbers are those of the recorded runs, to the printed digit."""

import re

import pandas as pd
import pytest

from hmdlib import ROOT

README = (ROOT / "README.md").read_text()
COLUMNS = (("raw", "frame"), ("raw", "hidden"), ("composite", "frame"))
ROWS = {
    "baseline": "baseline",
    "the paper's model": "paper",
    "ours": "ours",
    "LaFIn, generic": "lafin",
    "LaFIn, tuned": "lafin, personal",
    "gated inpainting": "gated inpainting",
    "no learning: the mean face": "mean face",
    "no learning: biharmonic": "biharmonic",
    "no learning: the nearest": "nearest frame",
}


@pytest.mark.parametrize("label, method", ROWS.items())
def test_table_1_is_the_recorded_one(label, method):
    table = pd.read_csv(ROOT / "results/reference/laptop/07_table_1.csv")
    table = table.set_index(["method", "output", "region"])
    (line,) = re.findall(rf"(?m)^\| {re.escape(label)}[^|]*\|(.*)\|$", README)
    cells = [cell.strip(" *") for cell in line.split("|")]
    assert len(cells) == 3 and any(cells)
    for cell, what in zip(cells, COLUMNS, strict=True):
        row = table.loc[(method, *what)]
        if cell:
            assert cell == f"{row.psnr:.1f} / {row.ssim:.3f} / {row.lpips:.3f}", what


def test_what_ours_gains_is_the_recorded_gain():
    verdicts = pd.read_csv(ROOT / "results/reference/laptop/07_verdicts.csv").set_index("claim")
    number = r"([\d.]+)"
    for claim, digits, said in (
        ("ours beats the paper's model under the headset", 2, rf"\*\*{number} dB\*\*"),
        ("ours beats it there in SSIM", 3, rf"SSIM \+{number}"),
        ("ours lowers LPIPS under the headset", 3, rf"LPIPS -{number}"),
    ):
        row = verdicts.loc[claim]
        numbers = tuple(f"{row[name]:.{digits}f}" for name in ("gain", "low", "high"))
        assert re.search(rf"{said} \({number} to {number}\)", README).groups() == numbers
