"""README's numbers are those of the recorded runs; the decisions that are cited are listed."""

import re

import pandas as pd
import pytest

from hmdlib import ROOT

README = (ROOT / "README.md").read_text()
COLUMNS = (("raw", "frame"), ("raw", "hidden"), ("composite", "frame"))
ROWS = {
    "baseline": "baseline",
    "the paper's model": "paper",
    "the same before it met the person": "generic",
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


def test_what_is_gained_is_the_recorded_gain():
    verdicts = pd.read_csv(ROOT / "results/reference/laptop/07_verdicts.csv").set_index("claim")
    number = r"(-?[\d.]+)"
    for claim, digits, said in (
        ("ours beats the paper's model under the headset", 2, rf"\*\*{number} dB\*\*"),
        ("ours beats it there in SSIM", 3, rf"SSIM \+{number}"),
        ("ours lowers LPIPS under the headset", 3, rf"LPIPS lower by {number}"),
        ("a person's model beats a generic one, hidden region", 2,
         rf"own videos bring\*\*: under the headset {number} dB"),
    ):  # fmt: skip
        row = verdicts.loc[claim]
        numbers = tuple(f"{row[name]:.{digits}f}" for name in ("gain", "low", "high"))
        assert re.search(rf"{said} \({number} to {number}[;)]", README).groups() == numbers


SOURCES = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "hmdlib").rglob("*.py"),
           *(ROOT / "profiles").glob("*.yml"), ROOT / "README.md"]  # fmt: skip


def decisions():
    """The rows of notebooks/decisions.md: number -> cells."""
    lines = re.findall(r"(?m)^\| (\d+) \|(.*)\|$", (ROOT / "notebooks/decisions.md").read_text())
    return {int(number): [cell.strip() for cell in cells.split("|")] for number, cells in lines}


def test_every_decision_that_is_cited_is_listed():
    assert list(decisions()) == list(range(1, 24))
    texts = " ".join(path.read_text() for path in SOURCES)
    cited = re.findall(r"(?i)\bdecisions? (\d+(?:(?:,| to| and) \d+)*)", texts)
    numbers = {int(number) for each in cited for number in re.findall(r"\d+", each)}
    assert len(numbers) > 15 and numbers <= set(decisions())


def test_every_switch_of_a_decision_exists():
    texts = " ".join(path.read_text() for path in SOURCES)
    for number, (_, _, switch, tried_in) in decisions().items():
        for name in re.findall(r"`(?:\w+\()?(\w+)", switch):
            assert re.search(rf"\b{name}\b *[:=]", texts), (number, name)
        for book in re.findall(r"\d\d", tried_in):
            assert list((ROOT / "notebooks").glob(f"{book}_*.ipynb")), (number, book)
