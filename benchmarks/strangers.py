"""How well do shipped weights draw people on whom nobody practised?

    python benchmarks/strangers.py [WEIGHTS ...] [--count 96] [--threads 2]

The strangers are those that notebook 03 renders for scoring alone, all under headsets of one seed.
One row per file, of the hidden region; of a model that finds landmarks also how far off its last
look has the eyes, brows and mouth, in pixels of 128.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

import hmdlib
from hmdlib import dataset, inference, masks, metrics, model_files

SHIPPED = [hmdlib.ROOT / f"results/reference/{name}/model.safetensors"
           for name in ("generic", "ours")]  # fmt: skip
PARTS = {"eyes": slice(36, 48), "brows": slice(17, 27), "mouth": slice(48, 68)}
SIZE = 128


def pixels_off(model, occluded, hidden, landmarks):
    """Mean distance of the landmarks that the last look found to the true ones: part -> pixels."""
    with torch.no_grad():
        pairs = zip(occluded.split(32), hidden.split(32), strict=True)
        found = torch.cat([model(*pair, return_maps=True)[-1][-1] for pair in pairs])
    distance = (found - landmarks).norm(dim=2)
    return {part: float(distance[:, points].mean()) for part, points in PARTS.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="*", type=Path, default=SHIPPED)
    parser.add_argument("--count", type=int, default=96, help="pictures, four of each person")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    fresh = {"kind": "synthetic", "count": options.count, "name": "synthetic_fresh", "seed": 1}
    store = dataset.open_collection(fresh, hmdlib.ROOT / "data/crops" / str(SIZE), SIZE)
    truth, landmarks = dataset.Samples([store]).batch(range(len(store)))
    hide = masks.occluder("textured", random=True)
    occluded, hidden = hide(truth, landmarks, torch.Generator().manual_seed(0))
    rows = {}
    for path in options.weights:
        model = model_files.load(path)
        if model.attention is not None:  # generic weights begin as an autoencoder (notebook 03)
            model.bypass_attention = not model.attention_has_learnt
        drawn = inference.deocclude(model, occluded, hidden)
        scores = metrics.evaluate(drawn, truth, hidden).query("output == 'raw'")
        rows[str(path)] = scores.query("region == 'hidden'")[metrics.COLUMNS].mean()
        if getattr(model, "wants_landmarks", False):
            off = pixels_off(model, occluded, hidden, landmarks)
            rows[str(path)] = pd.concat([rows[str(path)], pd.Series(off).add_suffix(", px off")])
    print(f"{len(truth)} pictures, hidden region")
    print(pd.DataFrame(rows).T.round(3).to_string(na_rep="-"))


if __name__ == "__main__":
    main()
