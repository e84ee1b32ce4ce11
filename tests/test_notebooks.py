"""Every notebook runs, in order, writes what it promises, and has the form that readers expect."""

import ast
import json
import re
import shutil

import pandas as pd
import pytest

from hmdlib import ROOT, InputError, checkpoint, model_files, running, study
from hmdlib.peers import painters

BOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]*_*.ipynb"))
TRAINED = ["03_generic_pretraining", "04_personal_finetuning", "05_deocclusion_training/paper",
           "05_deocclusion_training/baseline"]  # fmt: skip
HUMBLE = ["nearest frame", "mean face", "biharmonic"]
LEARNED = ["baseline", "paper", "generic", "paper, short", "no L_mask, short", "ours", "lafin",
           "lafin, personal", "lafin, published", "gated inpainting"]  # fmt: skip
COLUMNS = ["method", "output", "region", "ssim", "psnr", "lpips", "gmsd"]


def cells(book, kind=None):
    """The cells of a notebook's file, all or one kind, with their sources as one string each."""
    page = json.loads(book.read_text())["cells"]
    page = [{**cell, "source": "".join(cell["source"])} for cell in page]
    return [cell for cell in page if kind in (None, cell["cell_type"])]


# --- the study, run small ------------------------------------------------------------------------


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The folder of a whole smoke run: all notebooks in order, results and data in fresh places."""
    place = tmp_path_factory.mktemp("study")
    overrides = [(name, str(place / name)) for name in ("results", "data", "videos")]
    record = running.run("smoke", overrides, say=print)
    assert set(record["notebooks"]) == {book.stem for book in BOOKS}
    (subject,) = [path for path in (place / "results/smoke").iterdir() if path.is_dir()]
    return subject


@pytest.mark.parametrize("name", [book.stem for book in BOOKS])
def test_notebook_runs_and_writes_its_metrics(smoke, name):
    metrics = study.read_json(smoke / name / "metrics.json")
    assert metrics.pop("results_version") == study.RESULTS_VERSION
    assert metrics, "a notebook that found nothing out has not run"


GREY = """
def paint(occluded, hidden):
    return occluded * (1 - hidden) + 0.5 * hidden
"""


@pytest.mark.parametrize("name", TRAINED)
def test_training_leaves_weights_and_a_falling_loss(smoke, name):
    assert (smoke / name / "model.safetensors").stat().st_size > 10_000
    history = pd.read_csv(smoke / name / "history.csv")
    assert history["rec"].iloc[-1] < history["rec"].iloc[0]


def test_generic_training_goes_on_from_weights(smoke):
    """As profile generic_on does: no autoencoder stage, only strangers under headsets."""
    place = smoke.parents[2]
    before = smoke / "03_generic_pretraining"
    overrides = [(name, str(place / name)) for name in ("data", "videos")]
    overrides += [("results", str(place / "on")), ("train", "true"), ("stages", "[]"),
                  ("generic_weights", str(before / "model.safetensors"))]  # fmt: skip
    running.run("smoke", overrides, only="03", say=print)
    after = place / "on/smoke" / smoke.name / "03_generic_pretraining"
    assert not (after / "history.csv").exists()
    assert checkpoint.read_facts(after / "model.safetensors")["source"] == "trained here"
    ways = [pd.read_csv(path / "headset/history.csv")["rec"] for path in (before, after)]
    assert ways[1].iloc[0] < ways[0].iloc[0]  # it need not begin where the first began
    files = [str(before / f"{name}.safetensors") for name in ("model", "discriminator")]
    assert study.read_json(after / "metrics.json")["reads"] == files


@pytest.mark.parametrize("name", ["05_deocclusion_training", "06_loss_ablation", "06c_ours"])
def test_training_begins_with_the_discriminator_of_the_practice(smoke, name):
    practised = model_files.load(smoke / "03_generic_pretraining/discriminator.safetensors")
    assert practised.architecture == {"width": 8, "image_size": 64}
    said = [out.get("text", "") for cell in cells(smoke / name / f"{name}.ipynb", "code")
            for out in cell["outputs"]]  # fmt: skip
    assert any("a practised discriminator" in "".join(text) for text in said)


def test_peers_go_on_from_weights_and_are_refused_where_these_do_not_fit(smoke):
    """As profile peers_on does: each lesson begins with what the part before left."""
    place = smoke.parents[2]
    before = smoke / "06b_peers"
    overrides = [(name, str(place / name)) for name in ("data", "videos")]
    overrides += [("results", str(place / "peers_on")), ("generic_weights", str(before)),
                  ("personal_plan", "{}")]  # fmt: skip
    running.run("smoke", overrides, only="06b", say=print)
    after = place / "peers_on/smoke" / smoke.name / "06b_peers"
    for kind in ("lafin", "gated"):
        peer = painters.load(before / f"{kind}_generic/model.safetensors")
        begun = checkpoint.read_facts(after / f"{kind}_generic/checkpoint.safetensors")["identity"]
        for name in ("generator", "discriminator"):
            assert begun[f"start of {name}"] == checkpoint.fingerprint(peer.modules[name])
    overrides[-2] = ("generic_weights", str(ROOT / "results/reference/peers"))  # for 128 pixels
    with pytest.raises(InputError, match="lafin.safetensors is for pictures of 128 pixels"):
        running.run("smoke", overrides, only="06b", say=print)


def test_table_1_has_each_method_output_and_region_once(smoke):
    table = pd.read_csv(smoke / "07_sota_comparison/table_1.csv")
    assert list(table.columns[: len(COLUMNS)]) == COLUMNS
    assert set(table["method"]) == {*LEARNED, *HUMBLE}
    rows = table.set_index(["method", "output", "region"]).index
    expected = {(m, o, r) for m in set(table["method"]) for o in ("raw", "composite")
                for r in ("frame", "hidden", "ring")}  # fmt: skip
    assert set(rows) == expected and rows.is_unique
    scored = table[table["method"] != "lafin, published"]  # whose weights are for 256 pixels
    assert scored["psnr"].between(3, 60).all() and scored["ssim"].between(-1, 1).all()
    assert table.loc[~table.index.isin(scored.index), "psnr"].isna().all()


def test_table_1_is_the_mean_of_the_frames(smoke):
    """Whoever distrusts the table can redo it from frames.csv."""
    keys = ["method", "output", "region"]
    frames = pd.read_csv(smoke / "07_sota_comparison/frames.csv")
    table = pd.read_csv(smoke / "07_sota_comparison/table_1.csv").set_index(keys)
    again = frames.groupby(keys)["psnr"].mean()
    pd.testing.assert_series_equal(again, table["psnr"].loc[again.index], rtol=1e-5)


def test_a_method_without_its_weights_is_not_available_and_one_s_own_is_scored(smoke):
    """Hide what 06b and 06c wrote: 07 says so in rows without a score. And add a method to it."""
    place = smoke.parents[2]
    (place / "grey.py").write_text(GREY)
    overrides = [(name, str(place / name)) for name in ("data", "videos")]
    overrides.append(("results", str(place / "alone")))
    overrides.append(("methods", f"{{grey: {place / 'grey.py'}}}"))
    for name in ("05_deocclusion_training", "06_loss_ablation"):
        shutil.copytree(smoke / name, place / "alone/smoke" / smoke.name / name)
    running.run("smoke", overrides, only="07", say=print)
    found = place / "alone/smoke" / smoke.name / "07_sota_comparison"
    table = pd.read_csv(found / "table_1.csv").set_index("method")
    there = {"baseline", "paper", "paper, short", "no L_mask, short"}
    missing = [name for name in LEARNED if name not in there]
    assert study.read_json(found / "metrics.json")["not_available"] == missing
    scores = ["ssim", "psnr", "lpips", "gmsd", "sharpness"]
    assert table.loc[missing, scores].isna().all(axis=None)
    assert table.loc["paper", "psnr"].notna().all()
    by_row = table.loc["grey"].set_index(["output", "region"])["psnr"]
    kept = by_row["composite", "frame"]  # it keeps what is seen
    assert by_row["raw", "frame"] == pytest.approx(kept)
    for name in ("cost", "paired", "seen_and_unseen"):
        assert "grey" in set(pd.read_csv(found / f"{name}.csv")["method"])


def test_the_recorded_runs_have_the_tables_that_the_study_writes(smoke):
    """results/reference/laptop and full hold the same columns and no method that is gone."""
    tables = [*(ROOT / "results/reference").glob("laptop/*.csv"),
              *(ROOT / "results/reference").glob("full/*.csv")]  # fmt: skip
    assert tables
    for recorded in tables:
        number, _, name = recorded.name.partition("_")
        (book,) = [book.stem for book in BOOKS if book.stem.startswith(f"{number}_")]
        old, new = pd.read_csv(recorded), pd.read_csv(smoke / book / name)
        assert set(old.columns) <= set(new.columns), recorded
        assert len(old) or name == "steps.csv", recorded  # which steps, the profile says
        if "method" in old and name != "switches.csv":  # which switches, the profile says
            others = {"truth, other people", "stranger's face"}  # the smoke run renders none
            assert set(old["method"]) <= {*new["method"], *others}, recorded


def test_ours_costs_less_than_the_paper_s_model_and_each_step_was_measured(smoke):
    metrics = study.read_json(smoke / "06c_ours/metrics.json")
    assert metrics["gflop"]["ours"] < 0.5 * metrics["gflop"]["paper"]
    assert list(metrics["steps"]) == ["coarsest alone"]
    assert sum(metrics["error_shares"].values()) == pytest.approx(1)
    assert set(metrics["oracles"]) == {"as drawn", "best shift", "best colour"}
    assert metrics["oracles"]["best shift"] >= metrics["oracles"]["as drawn"]


def test_table_2_has_each_model_with_intervals(smoke):
    table = pd.read_csv(smoke / "06_loss_ablation/table_2.csv")
    first = pd.read_csv(smoke / "07_sota_comparison/table_1.csv")
    assert set(first.columns) <= set(table.columns)
    assert set(table["method"]) == {"L_rec", "+ L_adv", "+ L_ssim", "+ L_mask"}
    assert len(table) == 4 * 2 * 3
    for score in ("psnr", "ssim", "gmsd", "sharpness"):
        assert table[f"{score}_low"].le(table[score] + 1e-9).all()
        assert table[f"{score}_high"].ge(table[score] - 1e-9).all()
    switches = pd.read_csv(smoke / "06_loss_ablation/switches.csv")
    assert set(switches["method"]) == {"+ L_mask", "mask by area"}
    moves = pd.read_csv(smoke / "06_loss_ablation/switch_differences.csv")
    means = switches.query("output == 'raw' and region == 'hidden'").set_index("method")["psnr"]
    hidden = moves.query("region == 'hidden'")["dB"].item()
    assert hidden == pytest.approx(means["mask by area"] - means["+ L_mask"], abs=1e-6)


def test_the_ablated_models_differ_in_nothing_but_their_losses(smoke):
    models = smoke / "06_loss_ablation/models"
    runs = {path.name: checkpoint.read_facts(path / "checkpoint.safetensors")["identity"]
            for path in models.iterdir()}  # fmt: skip
    assert {"L_rec_0", "L_adv_0", "L_ssim_0", "L_mask_0"} <= set(runs)
    four = [runs[name] for name in ("L_rec_0", "L_adv_0", "L_ssim_0", "L_mask_0")]
    for run in four:
        (stage,) = run["stages"]
        stage.pop("losses"), stage.pop("name")
    assert all(run == four[0] for run in four)


def test_eyes_and_time_measures_each_method_and_a_shuffled_film_is_worse(smoke):
    place = smoke / "10_eyes_and_time"
    table = pd.read_csv(place / "face_measures.csv").set_index("method")
    steady = ["baseline", "paper", "mean face", "nearest frame", "truth"]
    assert (table.loc[steady, "warping error"] > 0).all()
    known = ["baseline", "paper", "ours", "generic", "truth, known sessions"]
    assert (table.loc[known, "identity distance"] > 0).all()
    assert table.loc["always open", "blink agreement"] in (
        0.5,
        pytest.approx(float("nan"), nan_ok=True),
    )
    metrics = study.read_json(place / "metrics.json")
    assert metrics["shuffled_warping_error"] > metrics["warping_error"]["paper"]


def test_composite_is_at_least_as_good_as_raw_over_the_frame(smoke):
    """It is right wherever nothing is hidden, so it can only gain; hidden pixels are the same."""
    table = pd.read_csv(smoke / "07_sota_comparison/table_1.csv")
    table = table.dropna(subset=["psnr"])
    psnr = table.pivot(index=["method", "region"], columns="output", values="psnr")
    frame, hidden = psnr.xs("frame", level="region"), psnr.xs("hidden", level="region")
    ring = psnr.xs("ring", level="region")
    assert (frame["composite"] >= frame["raw"]).all()
    assert (ring["composite"] >= ring["raw"]).all()
    assert (hidden["composite"] - hidden["raw"]).abs().max() < 0.01


def test_who_pastes_the_visible_pixels_back_is_right_there(smoke):
    """Their raw output is the composite, in each region of each frame."""
    frames = pd.read_csv(smoke / "07_sota_comparison/frames.csv").query("method in @HUMBLE")
    psnr = frames.pivot(index=["method", "image", "region"], columns="output", values="psnr")
    assert len(psnr) and (psnr["raw"] - psnr["composite"]).abs().max() < 1e-6


def test_the_paper_model_has_attention_and_the_baseline_has_none(smoke):
    trained = smoke / "05_deocclusion_training"
    for name, has_attention in (("paper", True), ("baseline", False)):
        facts = checkpoint.read_facts(trained / name / "model.safetensors")
        assert facts["architecture"]["attention"] is has_attention


# --- the form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
class TestForm:
    def test_no_outputs_and_the_kernel_that_papermill_finds(self, book):
        assert all(cell["outputs"] == [] and cell["execution_count"] is None
                   for cell in cells(book, "code"))  # fmt: skip
        assert json.loads(book.read_text())["metadata"]["kernelspec"]["name"] == "python3"

    def test_first_cell_asks_the_question(self, book):
        first = cells(book)[0]
        assert first["cell_type"] == "markdown"
        assert first["source"].startswith(f"# {book.stem[:2]}") and "?" in first["source"]

    def test_length_and_share_of_prose(self, book):
        prose, code = cells(book, "markdown"), cells(book, "code")
        assert 30 <= len(prose) + len(code) <= 60
        assert len(prose) >= len(code)

    def test_code_cells_are_short(self, book):
        lengths = sorted(len(cell["source"].splitlines()) for cell in cells(book, "code"))
        assert lengths[-1] <= 40 and lengths[len(lengths) // 2] <= 10

    def test_parameters_are_typed_literals_with_a_comment_each(self, book):
        (cell,) = [c for c in cells(book) if "parameters" in c["metadata"].get("tags", [])]
        lines = cell["source"].splitlines()
        for statement in ast.parse(cell["source"]).body:
            assert isinstance(statement, ast.AnnAssign), ast.unparse(statement)
            ast.literal_eval(statement.value)
            assert "# " in lines[statement.lineno - 1], f"no comment: {lines[statement.lineno - 1]}"
        assert {"profile", "subject", "results", "data"} <= set(study.read_notebook(book).declared)

    def test_its_own_parameters_are_the_laptop_profile_s(self, book):
        """Who opens a notebook after the laptop run finds its trainings finished, not refused."""
        name, _, shared, own = study.read_profile("laptop")
        books = [study.read_notebook(path) for path in sorted(book.parent.glob("*.ipynb"))]
        (read,) = [one for one in books if one.name == book.stem]
        for parameter, value in study.hand_out(books, name, shared, own)[read.name].items():
            assert read.declared[parameter].default == value, parameter

    def test_the_parts_of_the_story_are_there(self, book):
        text = "\n".join(cell["source"] for cell in cells(book, "markdown")).lower()
        for part in ["you should see", "deliberate failure", "play with it", "what was written",
                     "exercises", "<details>", "references"]:  # fmt: skip
            assert part in text, part

    def test_its_sections_are_numbered_without_a_gap(self, book):
        """A section lost in a rewriting leaves one, and others cite sections by their numbers."""
        text = "\n".join(cell["source"] for cell in cells(book, "markdown"))
        numbers = [int(number) for number in re.findall(r"(?m)^## (\d+)\. ", text)]
        assert numbers and numbers == list(range(1, len(numbers) + 1))
