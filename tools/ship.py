"""Make the weights or the tables of a finished run the ones that the project ships.

    ./run_all.sh generic --only 03        # then generic_on, ... generic_sixth
    .venv/bin/python tools/ship.py generic generic

    ./run_all.sh ours                     # then ours_more, ours_looks, ours_both, ours_adv
    .venv/bin/python tools/ship.py ours ours

    ./run_all.sh peers --only 01 && ./run_all.sh peers --only 06b    # then peers_on
    .venv/bin/python tools/ship.py peers peers

    ./run_all.sh full
    .venv/bin/python tools/ship.py tables full

Writes results/reference/<what>: the weights as float16, half as large, the curves of the trainings,
and run.json with what was run, where and when. All weights were trained in parts, a profile each,
shipped one after the other; run.json is the last's and holds the one before as `begun_from`.
`tables` records a run: its tables, run.json, and small copies of its figures (of the synthetic
person only).
"""

import shutil
import sys
from pathlib import Path

from PIL import Image

from hmdlib import ROOT, InputError, model_files, study
from hmdlib.checkpoint import read_tensors, write_tensors
from hmdlib.weights import sha256_of

REFERENCE = ROOT / "results/reference"

RECORDED = {
    "05_deocclusion_training": ["attention.png", "halves.png"],
    "06_loss_ablation": ["table_2.csv", "verdicts.csv", "figure_5.png", "eyes.png", "spectrum.png",
                         "switches.csv", "switch_differences.csv"],
    "06b_peers": ["metrics.json"],
    "06c_ours": ["metrics.json", "figure.png", "eyes.png", "texture.png", "eyes_moved.png",
                 "steps.csv"],
    "07_sota_comparison": ["table_1.csv", "verdicts.csv", "cost.csv", "by_pose_and_eyes.csv",
                           "paired.csv", "seen_and_unseen.csv", "figure_4.png", "eyes.png",
                           "methods.png", "worst.png"],
    "10_eyes_and_time": ["face_measures.csv", "verdicts.csv", "slit.png"],
}  # fmt: skip
"""Notebook -> what is kept of it in results/reference/<profile>, pictures as JPEG."""

NOT_ALWAYS = {"switches.csv", "switch_differences.csv"}
"""Written where the profile asks for switches."""


def record_of(profile, notebook):
    """A finished run's record, that notebook's part of it, and the folder that it wrote."""
    record = study.read_json(ROOT / "results" / profile / "run.json")
    if record.get("notebooks", {}).get(notebook, {}).get("status") != "finished":
        number = notebook.partition("_")[0]
        raise InputError(
            f"results/{profile}: not finished; ./run_all.sh {profile} --only {number} first"
        )
    for part in ("parameters", "notebooks"):
        record[part] = {notebook: record[part][notebook]}
    parameters = record["parameters"][notebook]
    crops = ROOT / "data/crops" / str(parameters["image_size"])
    crowds = parameters.get("collections", parameters.get("collection", []))
    names = [f"faces_{crowd.get('name', crowd['kind'])}" for crowd in crowds]
    record["data"] = {name: study.read_json(crops / name / "meta.json") for name in names}
    return record, ROOT / "results" / profile / record["subject"] / notebook


def ship(weights, target):
    """Write the weights to results/reference/<target> as float16; returns what run.json says."""
    tensors, facts = read_tensors(weights)
    small = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    lost = [name for name, t in small.items() if t.is_floating_point() and not t.isfinite().all()]
    if lost:
        raise InputError(f"{weights}: {lost[0]} is too large for float16")
    path = REFERENCE / target
    write_tensors(path, small, facts)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")
    return "float16; sha256 " + sha256_of(path.read_bytes())


def ship_judged(trained, target):
    """Ship a folder's weights, and the discriminator beside them; returns what run.json says."""
    files = {"weights": trained / "model.safetensors"}
    files["discriminator"] = model_files.adversary_of(files["weights"])
    return {what: ship(file, f"{target}/{file.name}") for what, file in files.items() if file}


def follow(record, notebook, shipped):
    """Keep the shipped part's record in that of the part that went on from it."""
    before = study.read_json(shipped / "run.json")
    begun = record["parameters"][notebook]["generic_weights"]
    if begun:
        if Path(begun).parts[1] != before.get("profile"):
            raise InputError(f"{record['profile']} went on from {begun}: ship that part first")
        record["begun_from"] = before


def ship_generic(profile):
    """Autoencoder, attention and discriminator (notebook 03), after one part of their training."""
    record, trained = record_of(profile, "03_generic_pretraining")
    shipped = REFERENCE / "generic"
    follow(record, "03_generic_pretraining", shipped)
    record |= ship_judged(trained, "generic")
    for curves, stage in (("history.csv", "rec"), ("headset/history.csv", "headset")):
        if (trained / curves).exists():
            shutil.copy(trained / curves, shipped / f"history_{profile}_{stage}.csv")
    study.write_json(shipped / "run.json", record)


def ship_ours(profile):
    """Our model's practice on strangers (notebook 06c), after one part of it."""
    record, trained = record_of(profile, "06c_ours")
    shipped = REFERENCE / "ours"
    follow(record, "06c_ours", shipped)
    record |= ship_judged(trained / "generic", "ours")
    shutil.copy(trained / "generic/history.csv", shipped / f"history_{profile}.csv")
    study.write_json(shipped / "run.json", record)


def ship_peers(profile):
    """LaFIn and the gated network, generic (notebook 06b), after one part of their training."""
    record, trained = record_of(profile, "06b_peers")
    follow(record, "06b_peers", REFERENCE / "peers")
    record["weights"] = {
        kind: ship(trained / f"{kind}_generic/model.safetensors", f"peers/{kind}.safetensors")
        for kind in ("lafin", "gated")
    }
    for curves in trained.glob("*_generic*/**/history.csv"):
        name = "_".join(curves.relative_to(trained).parent.parts)
        shutil.copy(curves, REFERENCE / f"peers/history_{profile}_{name}.csv")
    study.write_json(REFERENCE / "peers/run.json", record)


def record_tables(profile="laptop"):
    """A run on the shipped person: tables and figures, a file a notebook and name."""
    record = study.read_json(ROOT / "results" / profile / "run.json")
    if record.get("subject") != "synthetic_7":
        found = "not of synthetic_7, the person that is shipped" if record else "no run is there"
        raise InputError(f"results/{profile}: {found}; ./run_all.sh {profile} first")
    record.pop("other_subjects", None)  # whoever they are, they are not to be shipped
    for notebook, names in RECORDED.items():
        _, folder = record_of(profile, notebook)
        for name in names:
            if name in NOT_ALWAYS and not (folder / name).exists():
                continue
            target = REFERENCE / profile / f"{notebook.partition('_')[0]}_{name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.suffix == ".png":
                target.unlink(missing_ok=True)  # an older record's
                picture = Image.open(folder / name).convert("RGB")
                picture.thumbnail((1100, 1100))
                picture.save(target.with_suffix(".jpg"), quality=92, subsampling=0)
            else:
                shutil.copy(folder / name, target)
    study.write_json(REFERENCE / profile / "run.json", record)


if __name__ == "__main__":
    known = {"generic": ship_generic, "ours": ship_ours, "peers": ship_peers,
             "tables": record_tables}  # fmt: skip
    what, *further = sys.argv[1:] or [None]
    counts = {"tables": (0, 1)}.get(what, (1,))
    if what not in known or len(further) not in counts:
        sys.exit("usage: ship.py generic PROFILE | ours PROFILE | peers PROFILE | tables [PROFILE]")
    try:
        known[what](*further)
    except InputError as error:
        sys.exit(str(error))
