"""Make the weights of profiles generic and generic_on the ones that the project ships.

    ./run_all.sh generic --only 03 && ./run_all.sh generic_on --only 03
    .venv/bin/python tools/ship_generic.py

Writes results/reference/generic: the weights as float16, half as large (25 MB is the most that the
repository takes), the curves of the three trainings, and run.json with what was run, where and
when: the second part's record, and in it, as `begun_from`, the first part's.
"""

import shutil

from hmdlib import ROOT, InputError, study
from hmdlib.checkpoint import read_tensors, write_tensors
from hmdlib.weights import sha256_of

NOTEBOOK = "03_generic_pretraining"


def record_of(profile):
    """A finished run's record, notebook 03's part of it, and the folder that it wrote."""
    record = study.read_json(ROOT / "results" / profile / "run.json")
    if record.get("notebooks", {}).get(NOTEBOOK, {}).get("status") != "finished":
        raise InputError(f"results/{profile}: not finished; ./run_all.sh {profile} --only 03 first")
    for part in ("parameters", "notebooks"):
        record[part] = {NOTEBOOK: record[part][NOTEBOOK]}
    return record, ROOT / "results" / profile / record["subject"] / NOTEBOOK


def main():
    first, begun = record_of("generic")
    record, trained = record_of("generic_on")
    shipped = ROOT / "results/reference/generic"
    tensors, facts = read_tensors(trained / "model.safetensors")
    small = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    write_tensors(shipped / "model.safetensors", small, facts)
    shutil.copy(begun / "history.csv", shipped / "history.csv")
    shutil.copy(begun / "headset/history.csv", shipped / "history_headset.csv")
    shutil.copy(trained / "headset/history.csv", shipped / "history_headset_on.csv")
    crowd = ROOT / "data/crops" / str(record["parameters"][NOTEBOOK]["image_size"])
    record["data"] = {"faces_synthetic": study.read_json(crowd / "faces_synthetic/meta.json")}
    record["weights"] = "float16; sha256 " + sha256_of((shipped / "model.safetensors").read_bytes())
    record["begun_from"] = first
    study.write_json(shipped / "run.json", record)
    print(f"{shipped.relative_to(ROOT)}: {(shipped / 'model.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
